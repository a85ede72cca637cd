// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/choco_sgd.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

constexpr int kPublic = kFirstState;
constexpr int kMixed = kFirstState + 1;  // W times the public copies

std::vector<Stage> step(double rate, bool overlapped) {
  // The gradient's memory is free after the update.
  const int difference = overlapped ? kFirstState + 2 : kGradient;
  std::vector<Stage> stages{combine(difference, {{kModel, 1.0}, {kPublic, -1.0}}),
                            compress(difference),
                            combine(kPublic, {{kPublic, 1.0}, {difference, 1.0}})};
  stages.insert(overlapped ? stages.end() : stages.begin(), local_update());
  stages.insert(stages.begin(), evaluate());
  stages.push_back(mix_compressed(difference));
  stages.push_back(combine(kMixed, {{kMixed, 1.0}, {difference, 1.0}}));
  stages.push_back(combine(kModel, {{kModel, 1.0}, {kMixed, rate}, {kPublic, -rate}}));
  return stages;
}

std::vector<std::string_view> names(bool overlapped) {
  if (overlapped) return {"public", "mixed", "difference"};
  return {"public", "mixed"};
}

}  // namespace

ChocoSGD::ChocoSGD(double consensus_rate, bool overlapped)
    : Algorithm({.name = "choco-sgd",
                 .state = names(overlapped),
                 .kinds = {step(consensus_rate, overlapped)}}) {
  GOSSIP_CHECK(consensus_rate > 0.0 && consensus_rate <= 1.0,
               "consensus_rate is {}: it must be above 0 and at most 1.", consensus_rate);
}

}  // namespace gossip::algorithm
