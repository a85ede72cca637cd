// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/optim/ad_psgd.h>
#include <libgossip/optim/pair_plan.h>

namespace gossip::optim {

ADPSGD::ADPSGD(transport::Group& group, torch::nn::Module& module,
               std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
               const ADPSGDOptions& options)
    : Decentralized(
          group, module, std::move(local),
          detail::pair_plan(
              group, schedule,
              [](const topology::Graph&) { return std::make_shared<algorithm::ADPSGD>(); },
              {.exchanges_per_step = options.exchanges_per_step(),
               .seed = options.seed(),
               .timeout = options.timeout(),
               .on_lost_neighbor = options.on_lost_neighbor()}),
          schedule,
          {.initial = options.initial(),
           .timeout = options.timeout(),
           .name = "ad-psgd",
           .text = fmt::format("exchanges_per_step {}, seed {}, on_lost_neighbor {}, initial {}",
                               options.exchanges_per_step(), options.seed(),
                               static_cast<int>(options.on_lost_neighbor()),
                               static_cast<int>(options.initial()))}) {}

}  // namespace gossip::optim
