// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which call of the user's the waits of a thread belong to.

#include <cstdint>
#include <string_view>

#include <libgossip/base/deadline.h>

namespace gossip {

/// Names, while it lives, the collective call that this thread makes: what the collective calls
/// inside of it compare between the ranks and say, and how long they wait. Those of one thread
/// nest: the outermost, which the user made, gives name and step, the innermost the patience.
/// Local; cheap. Threads: each has its own.
///
///     const CollectiveCall call("with_mean_model()", timeout, steps());
///     group.meet();                  // all ranks are in this call, or all throw
///     transport::average_(group, x)  // waits as long as `timeout`
class CollectiveCall {
 public:
  /// The step of a call that is made at no certain one.
  static constexpr std::int64_t kNoStep = -1;

  /// `name` must outlive this object. `step`: those that the rank has made; with `is_in_step` they
  /// are the same on all ranks.
  CollectiveCall(std::string_view name, Patience patience, std::int64_t step = kNoStep,
                 bool is_in_step = false);
  CollectiveCall(const CollectiveCall&) = delete;
  CollectiveCall& operator=(const CollectiveCall&) = delete;
  ~CollectiveCall();

  /// Of this thread's call; outside of any an empty name, kNoStep, and the Patience of the default.
  [[nodiscard]] static std::string_view name() noexcept;
  [[nodiscard]] static std::int64_t step() noexcept;
  [[nodiscard]] static bool is_in_step() noexcept;
  [[nodiscard]] static const Patience& patience() noexcept;

 private:
  std::string_view name_;
  std::int64_t step_;
  bool is_in_step_;
  Patience patience_;
  CollectiveCall* around_;
};

}  // namespace gossip
