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
  /// Waits for the right. Errors: gossip::TimeoutError when a thread of brief calls has been inside
  /// one for `patience()`: some MPI libraries never return from one after the loss of a rank.
  Serial();
  Serial(const Serial&) = delete;
  Serial& operator=(const Serial&) = delete;
  ~Serial();

  /// Declares that no call of MPI by this thread waits for another process, so that one that does
  /// not return is an error. The communication thread does so.
  static void make_brief_calls() noexcept;

  /// How long a brief call may take; a minute unless set.
  static std::chrono::milliseconds patience() noexcept;
  static void set_patience(std::chrono::milliseconds patience) noexcept;

  /// Locks a mutex that a thread of brief calls may hold during one. When that does not return, as
  /// above, this ends the process with a message: what the mutex guards can neither be used nor
  /// destroyed any more.
  static std::unique_lock<std::timed_mutex> lock(std::timed_mutex& mutex) noexcept;

  /// Takes the right for good, before the process ends. False when another thread is in a call of
  /// MPI for longer than `patience`.
  static bool keep(std::chrono::milliseconds patience);

 private:
  static std::recursive_timed_mutex& mutex();

  std::unique_lock<std::recursive_timed_mutex> lock_;
};

}  // namespace gossip::mpi
