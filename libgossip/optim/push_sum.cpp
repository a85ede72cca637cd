// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/optim/push_sum.h>
#include <libgossip/topology/directed.h>

namespace gossip::optim {
namespace {

StagedMethod in_rounds(const topology::Schedule& schedule) {
  return {std::make_shared<const algorithm::PushSumSGD>(),
          {topology::with_row_weights(schedule), topology::with_column_weights(schedule)}};
}

}  // namespace

Decentralized::Settings PushSum::settings_of(const PushSumOptions& options) {
  return {.initial = options.initial(),
          .timeout = options.timeout(),
          .on_lost_neighbor = options.on_lost_neighbor(),
          .name = "push-sum",
          .text = fmt::format("overlap {}, on_lost_neighbor {}, initial {}", options.overlap(),
                              static_cast<int>(options.on_lost_neighbor()),
                              static_cast<int>(options.initial()))};
}

PushSum::PushSum(transport::Group& group, torch::nn::Module& module,
                 std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
                 const PushSumOptions& options)
    : Decentralized(
          group, module, std::move(local),
          [&]() -> MakeWorker {
            if (!options.overlap()) return make_staged(in_rounds(schedule), settings_of(options));
            return [&group, schedule, options](engine::ModelPort& port) {
              return std::make_unique<engine::OverlapWorker>(
                  group, schedule, port,
                  engine::OverlapWorkerOptions{.timeout = options.timeout(),
                                               .on_lost_neighbor = options.on_lost_neighbor()});
            };
          },
          schedule, settings_of(options)) {}

}  // namespace gossip::optim
