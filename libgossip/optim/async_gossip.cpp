// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/engine/one_way/async_gossip_worker.h>
#include <libgossip/optim/async_gossip.h>

namespace gossip::optim {

AsyncGossip::AsyncGossip(transport::Group& group, torch::nn::Module& module,
                         std::unique_ptr<torch::optim::Optimizer> local,
                         const topology::Schedule& schedule, const AsyncGossipOptions& options)
    : Decentralized(
          group, module, std::move(local),
          [&group, schedule, options]() -> MakeWorker {
            const engine::AsyncGossipWorkerOptions worker{
                .exponent = options.exponent(),
                .timeout = options.timeout(),
                .on_lost_neighbor = options.on_lost_neighbor()};
            return [&group, schedule, worker](engine::ModelPort& port) {
              return std::make_unique<engine::AsyncGossipWorker>(group, schedule, port, worker);
            };
          },
          schedule,
          {.initial = options.initial(),
           .timeout = options.timeout(),
           .name = "async-gossip",
           .text = fmt::format("exponent {}, on_lost_neighbor {}, initial {}", options.exponent(),
                               static_cast<int>(options.on_lost_neighbor()),
                               static_cast<int>(options.initial()))}) {}

}  // namespace gossip::optim
