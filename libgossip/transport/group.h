// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A set of ranks that train together.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/plain_value.h>
#include <libgossip/base/types.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/transport/background.h>
#include <libgossip/transport/channel.h>
#include <libgossip/transport/region.h>

namespace gossip::transport {

/// The exact mean of one vector over all ranks, in place. Made once (Group::make_mean), started
/// many times. Between start() and the return of take() the vector must not be touched.
///
/// Collective: construction, destruction, start() and await(), in the same order on all ranks.
/// After an error it must not be used any more, and may be destroyed; the vector is as it was,
/// unless the mean works in the vector's own memory.
class Mean {
 public:
  Mean() = default;
  Mean(const Mean&) = delete;
  Mean& operator=(const Mean&) = delete;
  virtual ~Mean() = default;

  /// Starts and returns at once.
  virtual void start() = 0;

  /// Moves a started mean on without blocking, where the transport needs that.
  virtual void progress() = 0;

  /// Blocks until all ranks' vectors are added up. Throws TimeoutError.
  virtual void await() = 0;

  /// Then: writes the mean into the vector. Local.
  virtual void take() = 0;

  /// Blocks until the vector holds the mean.
  void wait() {
    await();
    take();
  }
};

/// The largest of each of a few numbers over all ranks, found in the background: how ranks agree
/// while they train. It has a message space of its own, so that ranks may come to it at different
/// moments between other collective calls. Made once (Group::make_largest), started many times.
///
/// Collective: construction, destruction, and in their sequence the starts: each is over when all
/// ranks have made it. One that is not over may be destroyed. Threads: one at a time.
class Largest {
 public:
  Largest() = default;
  Largest(const Largest&) = delete;
  Largest& operator=(const Largest&) = delete;
  virtual ~Largest() = default;

  /// Starts with this rank's numbers and returns at once. The last one must be over on this rank.
  virtual void start(std::span<const double> numbers) = 0;

  /// Looks once whether it is over; does not block. True, too, when none was started.
  [[nodiscard]] virtual bool test() = 0;

  /// The largest numbers, once test() was true; valid until the next start().
  [[nodiscard]] virtual std::span<const double> numbers() const = 0;
};

/// What Group::all_reduce() makes of one number a rank.
enum class Reduction {
  kSum,  ///< in the order of the ranks
  kMin,
  kMax,
};

/// A set of ranks: MPI processes, or threads of one process. One object per rank.
///
/// Collective: all member functions except rank(), size(), transport(), shares_memory_with(),
/// background() and make_mean(). Each begins with meet(): they block until the other ranks come to
/// the same call, as long as the thread's CollectiveCall says, and throw JointError when ranks are
/// in different calls, TimeoutError when one does not come. The group can be used after both.
/// Threads: one at a time per rank.
class Group {
 public:
  Group() = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  virtual ~Group() = default;

  [[nodiscard]] virtual Rank rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  /// How bytes move between its ranks: "shared" inside a host; "rma" or "message" between hosts, or
  /// "shared+rma" and the like, once the first channel is made, "mpi" before; "local" for threads.
  [[nodiscard]] virtual std::string_view transport() const = 0;

  /// Whether this rank and `other` address the same memory: they run on one host.
  [[nodiscard]] virtual bool shares_memory_with(Rank other) const = 0;

  /// The thread that looks after this rank's communication while others compute.
  [[nodiscard]] virtual Background& background() = 0;

  /// The channels between its ranks. All ranks pass the same options.
  [[nodiscard]] virtual std::unique_ptr<Channel> make_channel(const ChannelOptions& options) = 0;

  /// Memory that the ranks of a host address; this rank contributes `bytes`.
  [[nodiscard]] virtual std::unique_ptr<Region> make_region(std::size_t bytes) = 0;

  /// The mean of `vector`, which must outlive the result; all ranks pass the same type and size.
  /// Works on a copy, which takes the vector's size in memory; where `memory` keeps the vector
  /// alive, in the vector itself, which holds anything after an error, and is kept as long as MPI
  /// may write into it. Local.
  [[nodiscard]] virtual std::unique_ptr<Mean> make_mean(
      const VectorView& vector, const Patience& patience,
      std::shared_ptr<const void> memory = nullptr) = 0;

  /// Of `count` numbers, the same on all ranks.
  [[nodiscard]] virtual std::unique_ptr<Largest> make_largest(std::size_t count) = 0;

  /// The ranks that pass the same `color`, which is at least 0, as a group of their own: in the
  /// order of `key`, and of their ranks here where keys are equal. It works as this group does, at
  /// the same time, and may outlive it. The groups that come from one another have one
  /// communication thread and one network a process; the ranks of a group destroy them in the same
  /// order. Throws JointError for a color below 0.
  [[nodiscard]] virtual std::unique_ptr<Group> split(int color, int key) = 0;

  /// Waits until all ranks are in the thread's CollectiveCall, and in `what` inside of it: before
  /// other work that they do together. Moves no data.
  virtual void meet(std::string_view what) = 0;

  virtual void barrier() = 0;

  /// Copies `bytes` of rank `root` over everybody else's.
  virtual void broadcast(std::span<std::byte> bytes, Rank root) = 0;

  /// The texts of all ranks, by rank. For small things.
  [[nodiscard]] virtual std::vector<std::string> all_gather(std::string_view text) = 0;

  /// The values of all ranks, by rank. All pass the same type.
  template <PlainValue T>
  [[nodiscard]] std::vector<T> all_gather(const T& value) {
    std::vector<T> values(static_cast<std::size_t>(size()));
    gather(std::as_bytes(std::span(&value, 1)), std::as_writable_bytes(std::span(values)));
    return values;
  }

  /// The values of all ranks, by rank, of which each may have another number.
  template <PlainValue T>
  [[nodiscard]] std::vector<std::vector<T>> all_gather(const std::vector<T>& own) {
    std::vector<std::vector<T>> result;
    const auto* bytes = reinterpret_cast<const char*>(own.data());
    for (const std::string& text : all_gather({bytes, own.size() * sizeof(T)})) {
      std::vector<T>& values = result.emplace_back(text.size() / sizeof(T));
      std::ranges::copy(text, reinterpret_cast<char*>(values.data()));
    }
    return result;
  }

  /// One number of all ranks': the same bits on all of them. For a few numbers.
  template <PlainValue T>
  requires std::is_arithmetic_v<T>
  [[nodiscard]] T all_reduce(T value, Reduction reduction) {
    all_reduce(std::span(&value, 1), reduction);
    return value;
  }

  /// The same for each of a few numbers, in place.
  template <PlainValue T>
  requires std::is_arithmetic_v<T>
  void all_reduce(std::span<T> values, Reduction reduction) {
    const std::size_t count = values.size();
    std::vector<T> all(count * static_cast<std::size_t>(size()));
    gather(std::as_bytes(values), std::as_writable_bytes(std::span(all)));
    std::copy_n(all.begin(), count, values.begin());
    for (std::size_t i = count; i < all.size(); ++i) {
      T& value = values[i % count];
      if (reduction == Reduction::kSum) value += all[i];
      if (reduction == Reduction::kMin) value = std::min(value, all[i]);
      if (reduction == Reduction::kMax) value = std::max(value, all[i]);
    }
  }

 protected:
  /// The bytes of all ranks, which have equally many, by rank: `all` has room for them.
  virtual void gather(std::span<const std::byte> own, std::span<std::byte> all) = 0;
};

/// Whether all ranks of the group share memory.
[[nodiscard]] bool is_one_host(const Group& group);

/// Replaces `vector` by its mean over the group, now, piece by piece: after an error some may hold
/// the mean. Waits as the group's own calls.
void average_(Group& group, const VectorView& vector);

/// The mean of one number over the group.
[[nodiscard]] double mean_of(Group& group, double value);

}  // namespace gossip::transport
