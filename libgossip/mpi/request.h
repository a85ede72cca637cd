// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Started operations of MPI.

#include <functional>
#include <memory>
#include <vector>

#include <mpi.h>

#include <libgossip/base/deadline.h>

namespace gossip::mpi {

/// Operations that were started together and are waited for together, with what keeps their buffers
/// alive. Move-only. Unfinished operations that are destroyed, or assigned over, are abandoned.
/// Where something keeps the buffers of all of them, that is in order: MPI goes on with the buffers
/// (mpi/abandoned.h). Otherwise it is a bug and terminates the process, except while an exception
/// unwinds the stack.
class Requests {
 public:
  Requests() = default;
  Requests(Requests&&) noexcept = default;
  Requests& operator=(Requests&& other) noexcept;
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;
  ~Requests();

  /// A place for the handle of one more started operation. `buffers` keeps all alive that it reads
  /// and writes; without it, whoever starts the operation keeps them until wait() returned true.
  [[nodiscard]] MPI_Request* add(std::shared_ptr<const void> buffers = nullptr);

  /// Looks once whether all are finished; drives MPI's progress. Local, does not block.
  [[nodiscard]] bool test();

  /// Blocks until all are finished, giving the core away between looks. Returns false when the
  /// deadline passed before.
  /// `while_waiting`, where it is set, is called every tenth of a second.
  [[nodiscard]] bool wait(const Deadline& deadline,
                          const std::function<void()>& while_waiting = {});

  /// Gives up operations that a lost rank keeps from finishing. MPI may still use their buffers.
  void abandon() noexcept;

 private:
  void let_go() noexcept;

  std::vector<MPI_Request> pending_;
  std::vector<std::shared_ptr<const void>> buffers_;  // by operation
};

}  // namespace gossip::mpi
