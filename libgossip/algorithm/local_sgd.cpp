// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <utility>

#include <libgossip/algorithm/local_sgd.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {

LocalSGD::LocalSGD(std::vector<Period> periods)
    : Algorithm(
          {.name = "local-sgd",
           .mixing_needs = MixingNeeds::kNone,
           .kinds = {{evaluate(), local_update()}, {evaluate(), local_update(), mean(kModel)}}}),
      periods_(std::move(periods)) {
  GOSSIP_CHECK(!periods_.empty() && periods_.front().first == 0,
               "The first period of local SGD must start at step 0.");
  for (std::size_t i = 0; i < periods_.size(); ++i) {
    check_local_steps(periods_[i].length);
    GOSSIP_CHECK(i == 0 || periods_[i].first > periods_[i - 1].first,
                 "A period of local SGD starts at step {}, not after the one before it, which "
                 "starts at {}.",
                 periods_[i].first, periods_[i - 1].first);
  }
}

LocalSGD::LocalSGD(std::int64_t local_steps) : LocalSGD(std::vector<Period>{{0, local_steps}}) {}

std::size_t LocalSGD::kind_of(std::int64_t step) const {
  const auto later = std::ranges::upper_bound(periods_, step, {}, &Period::first);
  const Period& period = *std::prev(later);
  return (step - period.first + 1) % period.length == 0 ? 1 : 0;
}

}  // namespace gossip::algorithm
