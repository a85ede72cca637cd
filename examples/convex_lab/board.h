// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What the ranks of an asynchronous run tell rank 0 while it goes on, without waiting.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/transport/group.h>

namespace gossip::examples {

/// Each rank shows rank 0 some numbers, rank 0 tells all when to stop. Not counted as
/// communication of the method.
///
/// Collective: construction and destruction. Everything else is local and does not block.
class LabBoard {
 public:
  LabBoard(transport::Group& group, std::size_t num_numbers);

  /// Whether it is time to show() again, or on rank 0 to look().
  [[nodiscard]] bool is_due() const { return Clock::now() >= next_; }

  /// Shows `numbers` [num_numbers], unless the last ones were not taken yet. Not on rank 0.
  void show(std::span<const double> numbers);

  /// The newest numbers of all other ranks [size - 1][num_numbers]; zeros before the first. On
  /// rank 0.
  [[nodiscard]] const std::vector<std::vector<double>>& look();

  /// Rank 0 asks all to stop; to be called until it returns true.
  bool stop();

  /// Whether rank 0 asked to stop.
  [[nodiscard]] bool is_stopped();

 private:
  bool publish(std::span<const double> numbers);

  Rank rank_;
  std::vector<Rank> peers_;
  std::unique_ptr<transport::Channel> channel_;
  std::vector<std::vector<double>> seen_;
  Clock::time_point next_ = Clock::now();
};

}  // namespace gossip::examples
