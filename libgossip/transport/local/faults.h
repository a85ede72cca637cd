// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Faults on the edges between threads, for tests of what runs above.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <libgossip/transport/channel.h>

namespace gossip::transport::local {

/// What goes wrong on the edges. The functions must be safe to call from several threads.
class Faults {
 public:
  explicit Faults(int size) : paused_(static_cast<std::size_t>(size)) {}

  /// How long after the receiver first could see it a message arrives. Default: at once.
  std::function<std::chrono::microseconds(Rank from, Rank to, std::uint64_t sequence)> delay;

  /// Whether a message is lost. Default: never.
  std::function<bool(Rank from, Rank to, std::uint64_t sequence)> drop;

  /// A paused rank's messages arrive only after resume(). Any thread may call these.
  void pause(Rank rank) { paused_[static_cast<std::size_t>(rank)] = true; }
  void resume(Rank rank) { paused_[static_cast<std::size_t>(rank)] = false; }
  [[nodiscard]] bool is_paused(Rank rank) const { return paused_[static_cast<std::size_t>(rank)]; }

 private:
  std::vector<std::atomic<bool>> paused_;
};

/// `channel` with faults, as the receiver `self` sees it; `names`: what the faults call the ranks
/// of its group.
[[nodiscard]] std::unique_ptr<Channel> with_faults(std::unique_ptr<Channel> channel,
                                                   std::shared_ptr<const Faults> faults, Rank self,
                                                   std::vector<Rank> names);

}  // namespace gossip::transport::local
