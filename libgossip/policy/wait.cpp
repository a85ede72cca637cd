// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/policy/wait.h>

namespace gossip::policy {
namespace {

double offset_of(const NeighborView& neighbor) { return std::max(neighbor.offset, 0.0); }

std::size_t count_arrived(const RoundView& view) {
  return static_cast<std::size_t>(
      std::ranges::count(view.neighbors, true, &NeighborView::has_arrived));
}

bool comes_before(const NeighborView& a, const NeighborView& b) {
  return std::pair(offset_of(a), a.rank) < std::pair(offset_of(b), b.rank);
}

/// The first `count` of those that are there.
void accept_fastest(const RoundView& view, std::size_t count, Mask& accepted) {
  const std::span<const NeighborView> neighbors = view.neighbors;
  accepted.assign(neighbors.size(), false);
  for (; count > 0; --count) {
    std::size_t best = neighbors.size();
    for (std::size_t m = 0; m < neighbors.size(); ++m) {
      if (!neighbors[m].has_arrived || accepted[m]) continue;
      if (best == neighbors.size() || comes_before(neighbors[m], neighbors[best])) best = m;
    }
    if (best == neighbors.size()) return;
    accepted[best] = true;
  }
}

double median_of(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2.0;
}

void check_finite(std::span<const double> offsets) {
  for (const double offset : offsets) {
    GOSSIP_CHECK(std::isfinite(offset),
                 "A value cannot have come {} seconds after the own one: of one that never comes, "
                 "give its age when it was given up.",
                 offset);
  }
}

}  // namespace

void WaitPolicy::accept(const RoundView& view, Mask& accepted) const {
  accepted.resize(view.neighbors.size());
  for (std::size_t m = 0; m < accepted.size(); ++m) accepted[m] = view.neighbors[m].has_arrived;
}

void WaitPolicy::learn(std::span<const double> offsets) { check_finite(offsets); }

WaitPolicy::Verdict All::decide(const RoundView& view) const {
  return {count_arrived(view) == view.neighbors.size(), kForever};
}

Fastest::Fastest(int count) : count_(static_cast<std::size_t>(count)) {
  GOSSIP_CHECK(count >= 1,
               "A round cannot close with the fastest {} neighbors: it must be 1 or more.", count);
}

WaitPolicy::Verdict Fastest::decide(const RoundView& view) const {
  return {count_arrived(view) >= std::min(count_, view.neighbors.size()), kForever};
}

void Fastest::accept(const RoundView& view, Mask& accepted) const {
  accept_fastest(view, count_, accepted);
}

Deadline::Deadline(double seconds, int quorum)
    : seconds_(seconds), quorum_(static_cast<std::size_t>(quorum)) {
  GOSSIP_CHECK(seconds >= 0.0, "A round cannot close after {} seconds: it must be 0 or more.",
               seconds);
  GOSSIP_CHECK(quorum >= 0, "A round cannot have a quorum of {} neighbors: it must be 0 or more.",
               quorum);
}

WaitPolicy::Verdict Deadline::decide(const RoundView& view) const {
  const std::size_t all = view.neighbors.size();
  const std::size_t arrived = count_arrived(view);
  if (arrived == all) return {true, kForever};
  if (view.elapsed < seconds_) return {false, seconds_ - view.elapsed};
  return {arrived >= std::min(quorum_, all), kForever};
}

void Deadline::accept(const RoundView& view, Mask& accepted) const {
  accepted.resize(view.neighbors.size());
  std::size_t in_time = 0;
  for (std::size_t m = 0; m < accepted.size(); ++m) {
    const NeighborView& neighbor = view.neighbors[m];
    accepted[m] = neighbor.has_arrived && offset_of(neighbor) <= seconds_;
    if (accepted[m]) ++in_time;
  }
  if (in_time < quorum_) accept_fastest(view, quorum_, accepted);
}

AdaptiveDeadline::AdaptiveDeadline(AdaptiveDeadlineOptions options) : options_(options) {
  GOSSIP_CHECK(options.window >= 1, "A window of {} offsets has no median: it must be 1 or more.",
               options.window);
  GOSSIP_CHECK(options.least_known >= 1 && options.least_known <= options.window,
               "An adaptive deadline cannot begin when {} offsets are known: it must be between 1 "
               "and the window of {}.",
               options.least_known, options.window);
  GOSSIP_CHECK(options.kappa >= 0.0 && std::isfinite(options.kappa),
               "An adaptive deadline cannot lie {} deviations above the median: it must be 0 or "
               "more.",
               options.kappa);
  GOSSIP_CHECK(!options.slack || *options.slack >= 0.0,
               "An adaptive deadline cannot have {} seconds of slack: it must be 0 or more.",
               options.slack.value_or(0.0));
  GOSSIP_CHECK(options.cap >= 0.0,
               "An adaptive deadline cannot be at most {} seconds: it must be 0 or more.",
               options.cap);
  const auto window = static_cast<std::size_t>(options.window);
  offsets_.reserve(window);
  scratch_.reserve(window);
}

bool AdaptiveDeadline::is_known() const noexcept {
  return offsets_.size() >= static_cast<std::size_t>(options_.least_known);
}

double AdaptiveDeadline::seconds(double step_seconds) const {
  constexpr double kDeviationsOfMad = 1.4826;  // a normal distribution's standard deviation
  constexpr double kShareOfStep = 0.1;
  if (!is_known() || (!options_.slack && !(step_seconds > 0.0))) return kForever;
  const double slack = options_.slack.value_or(kShareOfStep * step_seconds);
  const double margin = options_.kappa * kDeviationsOfMad * deviation_;
  return std::min(options_.cap, median_ + std::max(margin, slack));
}

WaitPolicy::Verdict AdaptiveDeadline::decide(const RoundView& view) const {
  return Deadline(seconds(view.step_seconds)).decide(view);
}

void AdaptiveDeadline::accept(const RoundView& view, Mask& accepted) const {
  Deadline(seconds(view.step_seconds)).accept(view, accepted);
}

void AdaptiveDeadline::learn(std::span<const double> offsets) {
  check_finite(offsets);
  for (const double offset : offsets) {
    const double taken = std::max(offset, 0.0);
    if (offsets_.size() < static_cast<std::size_t>(options_.window)) {
      offsets_.push_back(taken);
    } else {
      offsets_[oldest_] = taken;
      oldest_ = (oldest_ + 1) % offsets_.size();
    }
  }
  if (offsets.empty() || !is_known()) return;
  scratch_.assign(offsets_.begin(), offsets_.end());
  median_ = median_of(scratch_);
  for (double& value : scratch_) value = std::abs(value - median_);
  deviation_ = median_of(scratch_);
}

BoundedStaleness::BoundedStaleness(std::int64_t most_rounds) : most_rounds_(most_rounds) {
  GOSSIP_CHECK(most_rounds >= 0, "Values cannot be at most {} rounds old: it must be 0 or more.",
               most_rounds);
}

WaitPolicy::Verdict BoundedStaleness::decide(const RoundView& view) const {
  const auto is_fresh = [this](const NeighborView& neighbor) {
    return neighbor.has_arrived && neighbor.age <= most_rounds_;
  };
  return {std::ranges::all_of(view.neighbors, is_fresh), kForever};
}

Closing close(const WaitPolicy& policy, std::span<const double> offsets) {
  std::vector<NeighborView> neighbors(offsets.size());
  RoundView view{.neighbors = neighbors};
  for (;;) {
    double next = kForever;
    for (std::size_t m = 0; m < offsets.size(); ++m) {
      const bool has_arrived = offsets[m] <= view.elapsed;
      neighbors[m] = {.rank = static_cast<Rank>(m),
                      .has_arrived = has_arrived,
                      .offset = has_arrived ? offsets[m] : view.elapsed};
      if (!has_arrived) next = std::min(next, offsets[m]);
    }
    const WaitPolicy::Verdict verdict = policy.decide(view);
    if (verdict.closes) break;
    view.elapsed = std::min(next, view.elapsed + verdict.ask_again);
    GOSSIP_CHECK(std::isfinite(view.elapsed),
                 "The wait policy does not close a round of {} neighbors of which no more will "
                 "come.",
                 offsets.size());
  }
  Closing closing{.accepted = {}, .seconds = view.elapsed};
  policy.accept(view, closing.accepted);
  return closing;
}

}  // namespace gossip::policy
