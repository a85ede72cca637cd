// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/engine/one_way/push_sum_worker.h>
#include <libgossip/optim/push_sum.h>

namespace gossip::optim {
namespace {

std::unique_ptr<engine::Worker> make_worker(transport::Group& group,
                                            const topology::Schedule& schedule,
                                            model::FlatModel& model,
                                            std::function<void()> local_update,
                                            const PushSumOptions& options) {
  const engine::PushSumWorkerOptions worker{.timeout = options.timeout(),
                                            .on_lost_neighbor = options.on_lost_neighbor()};
  if (options.overlap()) {
    return std::make_unique<engine::OverlapWorker>(group, schedule, model.parameters(),
                                                   std::move(local_update), worker);
  }
  return std::make_unique<engine::PushSumWorker>(group, schedule, model.parameters(),
                                                 std::move(local_update), worker);
}

}  // namespace

PushSum::PushSum(transport::Group& group, torch::nn::Module& module,
                 std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
                 const PushSumOptions& options)
    : Decentralized(
          group, module, std::move(local),
          [&group, schedule, options]() -> MakeWorker {
            return [&group, schedule, options](model::FlatModel& model,
                                               std::function<void()> local_update) {
              return make_worker(group, schedule, model, std::move(local_update), options);
            };
          },
          schedule,
          {.initial = options.initial(),
           .timeout = options.timeout(),
           .name = "push-sum",
           .text = fmt::format("overlap {}, on_lost_neighbor {}, initial {}", options.overlap(),
                               static_cast<int>(options.on_lost_neighbor()),
                               static_cast<int>(options.initial()))}) {}

}  // namespace gossip::optim
