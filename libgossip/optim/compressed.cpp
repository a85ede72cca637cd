// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/choco_sgd.h>
#include <libgossip/algorithm/deep_squeeze.h>
#include <libgossip/algorithm/ef_sgd.h>
#include <libgossip/base/error.h>
#include <libgossip/kernels/codec.h>
#include <libgossip/optim/compressed.h>

namespace gossip::optim {
StagedMethod ChocoSGDOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::ChocoSGD>(consensus_rate(), overlapped()), schedule,
          std::make_shared<kernels::TopK>(fraction())};
}

std::string ChocoSGDOptions::text() const {
  return fmt::format("fraction {}, consensus_rate {}, overlapped {}, initial {}", fraction(),
                     consensus_rate(), overlapped(), static_cast<int>(initial()));
}

StagedMethod DeepSqueezeOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::DeepSqueeze>(consensus_rate()), schedule,
          std::make_shared<kernels::TopK>(fraction())};
}

std::string DeepSqueezeOptions::text() const {
  return fmt::format("fraction {}, consensus_rate {}, initial {}", fraction(), consensus_rate(),
                     static_cast<int>(initial()));
}

/// All weights are equal to the bit, the own one too, so that all ranks' sums are.
StagedMethod EFSGDOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  const auto size = static_cast<std::size_t>(schedule.size());
  const std::vector<std::vector<double>> even(
      size, std::vector<double>(size, 1.0 / static_cast<double>(size)));
  return {std::make_shared<const algorithm::EFSGD>(),
          topology::Schedule(topology::MixingMatrix(even), "all ranks"),
          std::make_shared<kernels::TopK>(fraction())};
}

std::string EFSGDOptions::text() const {
  return fmt::format("fraction {}, initial {}", fraction(), static_cast<int>(initial()));
}

}  // namespace gossip::optim
