// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Started operations of MPI.

#include <functional>
#include <vector>

#include <mpi.h>

#include <libgossip/base/deadline.h>

namespace gossip::mpi {

/// Operations that were started together and are waited for together. Move-only. Keeps no buffer
/// alive: whoever starts an operation keeps its buffers until wait() returned. Destroying
/// unfinished operations, or assigning over them, is a bug and terminates the process, except while
/// an exception unwinds the stack.
class Requests {
 public:
  Requests() = default;
  Requests(Requests&&) noexcept = default;
  Requests& operator=(Requests&& other) noexcept;
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;
  ~Requests();

  /// A place for the handle of one more started operation.
  [[nodiscard]] MPI_Request* add();

  /// Looks once whether all are finished; drives MPI's progress. Local, does not block.
  [[nodiscard]] bool test();

  /// Blocks until all are finished, giving the core away between looks. Returns false when the
  /// deadline passed before.
  /// `while_waiting`, where it is set, is called every tenth of a second.
  [[nodiscard]] bool wait(const Deadline& deadline,
                          const std::function<void()>& while_waiting = {});

  /// Forgets operations that a lost rank keeps from finishing. MPI may still use their buffers.
  void abandon() noexcept { pending_.clear(); }

 private:
  void check_finished() const;

  std::vector<MPI_Request> pending_;
};

}  // namespace gossip::mpi
