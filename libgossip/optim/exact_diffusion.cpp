// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/base/error.h>
#include <libgossip/optim/exact_diffusion.h>
#include <libgossip/topology/weights.h>

namespace gossip::optim {
namespace {

topology::Schedule mixed_with(const topology::Schedule& schedule, bool is_lazy) {
  if (!is_lazy || schedule.period() != 1) return schedule;  // which is refused in good time
  return {topology::lazy(schedule.matrix(0)), schedule.name()};
}

}  // namespace

ExactDiffusion::ExactDiffusion(transport::Group& group, torch::nn::Module& module,
                               std::unique_ptr<torch::optim::Optimizer> local,
                               const topology::Schedule& schedule,
                               const ExactDiffusionOptions& options)
    : Decentralized(group, module, std::move(local),
                    [] { return std::make_unique<algorithm::ExactDiffusion>(); },
                    mixed_with(schedule, options.lazy()),
                    {.initial = options.initial(),
                     .timeout = options.timeout(),
                     .name = "exact-diffusion",
                     .text = fmt::format("lazy {}, initial {}", options.lazy(),
                                         static_cast<int>(options.initial()))}) {}

}  // namespace gossip::optim
