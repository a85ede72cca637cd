// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a person sees while a run goes on.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <libgossip/base/deadline.h>
#include <libgossip/base/types.h>

namespace gossip::train {

/// How a run stands.
struct ProgressState {
  std::int64_t epoch = 0;  ///< training epoch under way, from 1
  std::int64_t step = 0;   ///< steps done since the start of the run
  double loss = 0;
  std::optional<double> consensus_distance = std::nullopt;
};

struct ProgressOptions {
  Rank rank = 0;
  std::int64_t epochs = 0;                           ///< of the whole run
  std::int64_t steps_per_epoch = 0;                  ///< of each rank
  std::int64_t first_step = 0;                       ///< steps that an earlier run had done already
  std::int64_t images_per_step = 0;                  ///< of the whole job
  std::FILE* stream = stderr;                        ///< must outlive the progress line
  std::optional<bool> is_terminal = std::nullopt;    ///< found out from `stream` when not given
  std::chrono::milliseconds terminal_interval{100};  ///< between two updates on a terminal
  std::chrono::milliseconds plain_interval{5000};    ///< between two lines elsewhere
  std::function<Clock::time_point()> now = [] { return Clock::now(); };
};

/// One line that tells epoch, step, images per second, loss, consensus distance and the remaining
/// time: rewritten in place on a terminal, a new line every few seconds elsewhere. Both figures of
/// time are those of all steps since the start, without what is left out. Ranks other than 0 print
/// nothing.
///
///     gossip::train::ProgressLine progress({.rank = rank, .epochs = 8, .steps_per_epoch = steps});
///     if (progress.is_due()) progress.update({.epoch = epoch, .step = step});  // in every step
///     progress.leave_out(Clock::now() - evaluation_began);
///     progress.print("epoch 1: accuracy 0.85");  // whole lines in between
///     progress.finish();
///
/// Local: no call communicates. Threads: calls on one line must not overlap.
class ProgressLine {
 public:
  explicit ProgressLine(ProgressOptions options);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// As finish().
  ~ProgressLine();

  /// The steps up to `step` were done by an earlier run; the time counts from now. In place of
  /// ProgressOptions::first_step where that is not known yet.
  void start_after(std::int64_t step);

  /// So much of the time that has passed was no training: an evaluation, for instance.
  void leave_out(Clock::duration time) { started_ += time; }

  /// True when update() would print: ask first where the figures cost something. Always false on
  /// ranks other than 0.
  [[nodiscard]] bool is_due() const;

  /// Prints `state` if enough time has passed since the last time.
  void update(const ProgressState& state);

  /// Prints `line` as a line of its own, above the progress line.
  void print(std::string_view line);

  /// Leaves the last state standing and goes to the next line. May be called twice.
  void finish() noexcept;

 private:
  [[nodiscard]] std::string describe(const ProgressState& state) const;

  ProgressOptions options_;
  bool is_terminal_;
  bool is_line_open_ = false;
  Clock::time_point started_;  // moved on by what is left out
  std::optional<Clock::time_point> printed_;
};

}  // namespace gossip::train
