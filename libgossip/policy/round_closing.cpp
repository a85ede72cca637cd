// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/policy/round_closing.h>

namespace gossip::policy {

RoundClosing::RoundClosing(int ranks)
    : owed_(static_cast<std::size_t>(ranks), 0), silence_(static_cast<std::size_t>(ranks), 0) {}

void RoundClosing::open(std::int64_t round, std::int64_t number, Time now) {
  round_ = round;
  number_ = number;
  ready_[static_cast<std::size_t>(number) % kRemembered] = now;
  views_.clear();
  if (closed_ != Time()) note_step(now);
}

void RoundClosing::note_step(Time now) {
  steps_[static_cast<std::size_t>(num_steps_++) % kSteps] = seconds_between(closed_, now);
  std::array<double, kSteps> sorted = steps_;
  const auto known = sorted.begin() + std::min<std::int64_t>(num_steps_, kSteps);
  const auto middle = sorted.begin() + (known - sorted.begin()) / 2;
  std::nth_element(sorted.begin(), middle, known);
  step_seconds_ = *middle;
}

void RoundClosing::add(Rank neighbor) {
  views_.push_back({.rank = neighbor, .silence = silence_[static_cast<std::size_t>(neighbor)]});
}

double RoundClosing::since_ready(std::int64_t number, Time now) const {
  return seconds_between(ready_[static_cast<std::size_t>(number) % kRemembered], now);
}

void RoundClosing::note_arrival(Rank neighbor, Time now) {
  const auto view = std::ranges::find(views_, neighbor, &NeighborView::rank);
  GOSSIP_ASSERT(view != views_.end(), "rank {} is no neighbor in this round", neighbor);
  view->has_arrived = true;
  view->offset = since_ready(number_, now);
}

void RoundClosing::note_late(Rank neighbor, std::int64_t number, WaitPolicy& policy, Time now) {
  --owed_[static_cast<std::size_t>(neighbor)];
  --num_owed_;
  const double offset = since_ready(number, now);
  policy.learn(std::span(&offset, 1));
}

void RoundClosing::forget(Rank neighbor) {
  num_owed_ -= std::exchange(owed_[static_cast<std::size_t>(neighbor)], 0);
}

WaitPolicy::Verdict RoundClosing::ask(const WaitPolicy& policy, Time now) {
  const double elapsed = since_ready(number_, now);
  for (NeighborView& view : views_) {
    if (!view.has_arrived) view.offset = elapsed;
  }
  view_ = {.round = round_, .elapsed = elapsed, .step_seconds = step_seconds_, .neighbors = views_};
  return policy.decide(view_);
}

const Mask& RoundClosing::close(WaitPolicy& policy, Time now) {
  policy.accept(view_, accepted_);
  offsets_.clear();
  for (std::size_t m = 0; m < views_.size(); ++m) {
    const auto rank = static_cast<std::size_t>(views_[m].rank);
    if (views_[m].has_arrived) {
      offsets_.push_back(views_[m].offset);
    } else {
      ++owed_[rank];
      ++num_owed_;
    }
    silence_[rank] = accepted_[m] ? 0 : silence_[rank] + 1;
  }
  policy.learn(offsets_);
  closed_ = now;
  return accepted_;
}

std::chrono::milliseconds RoundClosing::wait_time(double seconds) {
  constexpr double kMost = 3600.0;
  constexpr double kMilliseconds = 1e3;
  const double bounded = std::clamp(seconds, 0.0, kMost);
  return std::chrono::milliseconds(
      std::max<std::int64_t>(1, std::llround(std::ceil(bounded * kMilliseconds))));
}

}  // namespace gossip::policy
