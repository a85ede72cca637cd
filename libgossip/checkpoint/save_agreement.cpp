// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/checkpoint/save_agreement.h>

namespace gossip::checkpoint {
namespace {

/// What the ranks find the largest of.
enum Number : std::size_t { kWish, kNotSettled, kHasFailed, kSecondsPerStep, kNumbers };

constexpr std::int64_t kLeastSteps = 2;
constexpr std::int64_t kMostSteps = 256;
constexpr double kSeconds = 1.0;  // from a start to its reading
constexpr std::chrono::milliseconds kBetweenStarts{100};

}  // namespace

SaveAgreement::SaveAgreement(transport::Group& group, bool is_synchronous,
                             std::chrono::milliseconds patience)
    : group_(group),
      is_synchronous_(is_synchronous),
      patience_(patience),
      largest_(group.make_largest(kNumbers)) {}

void SaveAgreement::start(std::int64_t step, const Report& report) {
  const Clock::time_point now = Clock::now();
  if (is_under_way_) return;
  if (!is_synchronous_ && started_ && now - *started_ < kBetweenStarts) return;
  std::array<double, kNumbers> numbers{};
  numbers[kWish] = static_cast<double>(report.wish);
  numbers[kNotSettled] = -static_cast<double>(report.settled);
  numbers[kHasFailed] = report.has_failed ? 1.0 : 0.0;
  numbers[kSecondsPerStep] = seconds_per_step_;
  largest_->start(numbers);
  is_under_way_ = true;
  ++starts_;
  started_ = now;
  started_step_ = step;
  reading_step_ = step + steps_to_reading_;
}

std::optional<Report> SaveAgreement::read(std::int64_t step) {
  if (!is_under_way_) return std::nullopt;
  if (is_synchronous_) {
    if (step < reading_step_) return std::nullopt;
    wait();
  } else if (!largest_->test()) {
    return std::nullopt;
  }
  is_under_way_ = false;
  seconds_per_step_ = seconds_between(*started_, Clock::now()) /
                      static_cast<double>(std::max<std::int64_t>(1, step - started_step_));
  const std::span<const double> numbers = largest_->numbers();
  const double seconds = numbers[kSecondsPerStep];
  steps_to_reading_ =
      seconds > 0.0
          ? std::clamp(static_cast<std::int64_t>(std::min(std::ceil(kSeconds / seconds), 1e6)),
                       kLeastSteps, kMostSteps)
          : kLeastSteps;
  return Report{.wish = static_cast<Wish>(static_cast<int>(numbers[kWish])),
                .settled = -static_cast<std::int64_t>(numbers[kNotSettled]),
                .has_failed = numbers[kHasFailed] > 0.0};
}

void SaveAgreement::wait() {
  const Deadline deadline(patience_);
  Notice notice(group_.rank(), deadline);
  const auto while_waiting = [&] {
    notice.look([] { return "the other ranks to agree on when to save"; });
  };
  if (wait_until(
          deadline, [this] { return largest_->test(); }, while_waiting))
    return;
  throw TimeoutError(
      -1, fmt::format("Rank {} waited {} ms for the other {} ranks to agree on when to save: one "
                      "of them has ended or hangs.",
                      group_.rank(), patience_.count(), group_.size() - 1));
}

/// A rank may have come here one start behind others.
void SaveAgreement::drain() {
  const std::int64_t most = group_.all_reduce(starts_, transport::Reduction::kMax);
  if (is_under_way_) wait();
  is_under_way_ = false;
  if (starts_ == most) return;
  started_.reset();
  start(0, {});
  wait();
  is_under_way_ = false;
}

}  // namespace gossip::checkpoint
