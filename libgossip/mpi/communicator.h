// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A communicator of our own.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mpi.h>

#include <libgossip/base/plain_value.h>
#include <libgossip/base/types.h>
#include <libgossip/base/unique_handle.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/mpi/request.h>

namespace gossip::mpi {

namespace detail {

struct CommunicatorTraits {
  using Raw = MPI_Comm;
  static constexpr bool kFreeIsCollective = true;
  static Raw null() noexcept { return MPI_COMM_NULL; }
  static void free(Raw raw) noexcept;
};

}  // namespace detail

/// A set of processes with a message space of its own; always a duplicate, never the user's
/// communicator. Calls return errors (MPI_ERRORS_RETURN) and these become gossip::MpiError.
/// Move-only.
///
/// Collective: every member function except rank(), size(), get(), leave(), disturb() and
/// is_disturbed(), over the communicator; all block until the others come, except sum_async and
/// max_async. They wait as long as the thread's CollectiveCall says, five minutes outside of one
/// (TimeoutError), and copy what they send and receive: after an error MPI uses nothing of the
/// caller's. Threads: one at a time per process (MPI_THREAD_SERIALIZED).
class Communicator {
 public:
  Communicator(Communicator&&) noexcept = default;
  Communicator& operator=(Communicator&& other) noexcept;
  ~Communicator();

  /// Duplicates a communicator of the user, which is left as it is.
  static Communicator duplicate(MPI_Comm user);

  [[nodiscard]] Rank rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] MPI_Comm get() const noexcept { return handle_.get(); }

  /// Gives the communicator up instead of freeing it, because messages may be under way on it: MPI
  /// would take them for messages of the next one that gets its number. Local.
  void leave() noexcept { static_cast<void>(handle_.release()); }

  /// Notes that an operation on it was given up: the ranks' calls may not fit together any more,
  /// and its end leaves it. Local.
  void disturb() const noexcept { is_disturbed_ = true; }
  [[nodiscard]] bool is_disturbed() const noexcept { return is_disturbed_; }

  /// The processes on this process's host, in the order of their ranks here; with `most` > 0 at
  /// most so many of them.
  [[nodiscard]] Communicator split_by_host(int most = 0) const;

  /// The processes that pass the same `color`, which is at least 0, in the order of `key`, and of
  /// their ranks here where that is the same.
  [[nodiscard]] Communicator split(int color, int key) const;

  void barrier() const;

  /// Copies `bytes` of rank `root` over everybody else's. All pass the same length.
  void broadcast(std::span<std::byte> bytes, Rank root) const;

  /// The texts of all ranks, by rank. For small things: names, settings, check sums. Throws
  /// JointError when they have more than 2^31 - 1 bytes together.
  [[nodiscard]] std::vector<std::string> all_gather(std::string_view text) const;

  /// The values of all ranks, by rank. All pass the same type.
  template <PlainValue T>
  [[nodiscard]] std::vector<T> all_gather(const T& value) const {
    std::vector<T> values(static_cast<std::size_t>(size_));
    gather(std::as_bytes(std::span(&value, 1)), std::as_writable_bytes(std::span(values)));
    return values;
  }

  /// The bytes of all ranks, which have equally many, by rank: `all` has room for them. For small
  /// things.
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const;

  /// Starts to replace `vector` by the sum over all ranks and returns at once; the operations are
  /// added to `requests`. `memory` keeps the vector alive, which stays untouched until they are
  /// finished. More than 2^31 elements are legal.
  void sum_async(const VectorView& vector, const std::shared_ptr<const void>& memory,
                 Requests& requests) const;

  /// The same with the largest of each number.
  void max_async(const std::shared_ptr<std::vector<double>>& numbers, Requests& requests) const;

 private:
  explicit Communicator(MPI_Comm owned);

  /// Waits for the operations of a collective call.
  void finish(Requests& requests, std::string_view what) const;
  void check_lengths(const std::vector<std::int64_t>& lengths) const;

  gossip::detail::UniqueHandle<detail::CommunicatorTraits> handle_;
  Rank rank_ = 0;
  int size_ = 1;
  mutable bool is_disturbed_ = false;
};

}  // namespace gossip::mpi
