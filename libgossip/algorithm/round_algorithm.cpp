// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/algorithm/round_algorithm.h>

namespace gossip::algorithm {
namespace {

/// `before` stands behind the evaluation: until then a caller may load another model.
std::vector<Stage> started(const std::vector<Stage>& before, std::vector<Stage> step) {
  step.insert(step.begin() + 1, before.begin(), before.end());
  return step;
}

}  // namespace

std::vector<Stage> joined(std::initializer_list<std::vector<Stage>> parts) {
  std::vector<Stage> stages;
  for (const std::vector<Stage>& part : parts) {
    stages.insert(stages.end(), part.begin(), part.end());
  }
  return stages;
}

RoundAlgorithm::RoundAlgorithm(Rules rules, const Round& round, std::int64_t local_steps)
    : Algorithm([&] {
        const std::vector<Stage> first =
            started(round.before, round.first.empty() ? round.local : round.first);
        rules.kinds = {joined({first, round.after}), first, round.local,
                       joined({round.local, round.after})};
        return rules;
      }()),
      local_steps_(local_steps) {
  check_local_steps(local_steps);
}

std::size_t RoundAlgorithm::kind_of(std::int64_t step) const {
  if (local_steps_ == 1) return 0;
  const std::int64_t position = step % local_steps_;
  if (position == 0) return 1;
  return position == local_steps_ - 1 ? 3 : 2;
}

}  // namespace gossip::algorithm
