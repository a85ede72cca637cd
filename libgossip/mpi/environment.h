// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The lifetime of MPI in this process.

#include <chrono>
#include <string>

#include <libgossip/base/alone.h>

namespace gossip::mpi {

class Communicator;

/// Name and version of the MPI library that runs, such as "Open MPI v4.1.4". Local; also before MPI
/// is initialized.
[[nodiscard]] std::string library_version();

/// Initializes MPI and finalizes it again, unless the application did so itself: then it only
/// checks the thread level. Open MPI is initialized with the parameters of mca.h. Not copyable; one
/// at a time per process.
///
/// Collective: construction and destruction, over all processes of the job. The destructor does not
/// finalize while an exception unwinds the stack (the other ranks would not come); end such a
/// process with abort(). Errors: gossip::Error when MPI grants less than MPI_THREAD_SERIALIZED,
/// when MPI was finalized before, and when n processes of a foreign launcher each see a world of
/// size 1.
class Environment {
 public:
  Environment(int& argc, char**& argv);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  /// A duplicate of the communicator of all processes. Collective.
  [[nodiscard]] Communicator world() const;

  /// Ends all processes of the job with this status. Local; does not return. Where several ranks
  /// do so the lower ones come first, since a launcher says a word about each.
  [[noreturn]] static void abort(int status);

  /// Ends this process with this status, and MPI in order, once all processes of the job have come
  /// here; returns when they have not within `patience`. What still uses MPI must not go on:
  /// objects that live, or were left behind by an exception, stay as they are. Collective.
  static void end_together(int status, std::chrono::milliseconds patience);

 private:
  bool owns_;
  gossip::detail::Lifetime lifetime_;
};

}  // namespace gossip::mpi
