// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/optim/gossip_sgd.h>

namespace gossip::optim {

GossipSGD::GossipSGD(transport::Group& group, torch::nn::Module& module,
                     std::unique_ptr<torch::optim::Optimizer> local,
                     const topology::Schedule& schedule, const GossipSGDOptions& options)
    : Decentralized(
          group, module, std::move(local),
          [&] {
            return StagedMethod{std::make_shared<const algorithm::GossipSGD>(options.order(),
                                                                             options.local_steps()),
                                schedule};
          },
          schedule,
          {.initial = options.initial(),
           .timeout = options.timeout(),
           .on_lost_neighbor = options.on_lost_neighbor(),
           .name = "gossip-sgd",
           .text = fmt::format("order {}, local_steps {}, on_lost_neighbor {}, initial {}",
                               static_cast<int>(options.order()), options.local_steps(),
                               static_cast<int>(options.on_lost_neighbor()),
                               static_cast<int>(options.initial()))}) {}

}  // namespace gossip::optim
