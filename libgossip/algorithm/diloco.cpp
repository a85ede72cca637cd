// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include <libgossip/algorithm/diloco.h>
#include <libgossip/algorithm/round_algorithm.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

/// What each fragment was after its last average.
constexpr int kStart = kFirstState;
constexpr int kMomentum = kFirstState + 1;

std::vector<std::vector<Stage>> steps_of_diloco(double outer_rate, double momentum, int fragments) {
  const std::vector<Stage> local{evaluate(), local_update()};
  // Behind the evaluation: until then a caller may load another model.
  const std::vector<Stage> started{evaluate(), combine(kStart, {{kModel, 1.0}}), local_update()};
  // A plain step, the first one, then those that end with the average of a fragment.
  std::vector<std::vector<Stage>> kinds{local, started};
  for (int index = 0; index < fragments; ++index) {
    const Fragment part{index, fragments};
    const std::vector<Stage> outer{
        mean(kModel, part),
        combine(kMomentum, {{kMomentum, momentum}, {kStart, 1.0}, {kModel, -1.0}}, part),
        combine(
            kStart,
            {{kStart, 1.0 - outer_rate}, {kModel, outer_rate}, {kMomentum, -outer_rate * momentum}},
            part),
        combine(kModel, {{kStart, 1.0}}, part)};
    kinds.push_back(joined({local, outer}));
    kinds.push_back(joined({started, outer}));
  }
  return kinds;
}

/// Before anything is made for each of them.
int checked(int fragments, std::int64_t local_steps) {
  check_local_steps(local_steps);
  constexpr int kMost = 4096;
  GOSSIP_CHECK(
      fragments >= 1 && fragments <= local_steps && fragments <= kMost,
      "fragments is {}: it must be at least 1 and at most local_steps, {}, and at most {}.",
      fragments, local_steps, kMost);
  return fragments;
}

}  // namespace

DiLoCo::DiLoCo(std::int64_t local_steps, double outer_rate, double momentum, int fragments)
    : Algorithm({.name = "diloco",
                 .mixing_needs = MixingNeeds::kNone,
                 .state = {"start", "outer_momentum"},
                 .kinds = steps_of_diloco(outer_rate, momentum, checked(fragments, local_steps))}),
      local_steps_(local_steps),
      fragments_(fragments) {
  check_range("outer_rate", outer_rate, std::numeric_limits<double>::min(),
              std::numeric_limits<double>::infinity());
  check_range("outer_momentum", momentum, 0.0, 1.0);
}

std::size_t DiLoCo::kind_of(std::int64_t step) const {
  const std::size_t first = step == 0 ? 1 : 0;  // of the run: every fragment starts there
  for (int index = 0; index < fragments_; ++index) {
    const std::int64_t offset = index * local_steps_ / fragments_;
    if (step + 1 > offset && (step + 1 - offset) % local_steps_ == 0) {
      return 2 + 2 * static_cast<std::size_t>(index) + first;
    }
  }
  return first;
}

}  // namespace gossip::algorithm
