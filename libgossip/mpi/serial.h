// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// One call of MPI at a time.

#include <chrono>
#include <mutex>

namespace gossip::mpi {

/// Holds, while it lives, this process's right to call MPI. MPI is initialized with
/// MPI_THREAD_SERIALIZED, and two threads call it: the communication thread, and the user's own for
/// collective calls. All functions of this room take the right for each call; a program that calls
/// MPI itself beside an asynchronous optimizer does the same.
///
/// May be nested. Never held while waiting for another process, except inside MPI's own collective
/// calls.
class Serial {
 public:
  Serial() : lock_(mutex()) {}
  Serial(const Serial&) = delete;
  Serial& operator=(const Serial&) = delete;
  ~Serial() = default;

  /// Takes the right for good, before the process ends, unless another thread is in a call of MPI for
  /// longer than `patience`.
  static void keep(std::chrono::milliseconds patience);

 private:
  static std::recursive_mutex& mutex();

  std::lock_guard<std::recursive_mutex> lock_;
};

}  // namespace gossip::mpi
