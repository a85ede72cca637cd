// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/optim/a2cid2.h>
#include <libgossip/optim/ad_psgd.h>
#include <libgossip/optim/all_reduce.h>
#include <libgossip/optim/async_gossip.h>
#include <libgossip/optim/exact_diffusion.h>
#include <libgossip/optim/factory.h>
#include <libgossip/optim/gradient_tracking.h>
#include <libgossip/optim/push_sum.h>

namespace gossip::optim {
namespace {

constexpr std::array<OptimizerName, 8> kNames{{
    {"allreduce", "the baseline: every step uses the mean of all gradients", "-"},
    {"gossip-sgd",
     "averages parameters with the topology's neighbors after (atc) or before (cta) the update",
     "Lian et al. 2017, arXiv 1705.09056"},
    {"gradient-tracking",
     "follows the mean of all gradients, so that it does not matter how the ranks' data differ",
     "Di Lorenzo, Scutari 2016, arXiv 1602.00591"},
    {"exact-diffusion",
     "gossip-sgd without bias, for a symmetric topology that does not change (also: D2, NIDS)",
     "Yuan et al. 2019, arXiv 1702.05122"},
    {"push-sum", "splits what it has among receivers that need not answer; --overlap: nobody waits",
     "Assran et al. 2019, arXiv 1811.10792"},
    {"async-gossip", "mixes with the newest models of its neighbors at its own pace",
     "Xie et al. 2019, arXiv 1903.03934", true},
    {"ad-psgd",
     "averages with random neighbors, pair by pair, while all ranks train at their own pace",
     "Lian et al. 2018, arXiv 1710.06952", true},
    {"a2cid2", "ad-psgd with a continuous momentum, for graphs that connect badly",
     "Nabli et al. 2023, arXiv 2306.08289", true},
}};

constexpr std::array<std::pair<std::string_view, MixingOrder>, 3> kOrders{{
    {"atc", MixingOrder::kAdaptThenCombine},
    {"cta", MixingOrder::kCombineThenAdapt},
    {"diffusion", MixingOrder::kDiffusion},
}};

}  // namespace

std::span<const OptimizerName> optimizer_names() { return kNames; }

void check_optimizer_name(std::string_view name) {
  std::vector<std::string> known;
  for (const OptimizerName& entry : kNames) known.emplace_back(entry.name);
  GOSSIP_CHECK(std::find(known.begin(), known.end(), name) != known.end(), "{}",
               unknown_name("optimizer", name, known));
}

bool is_asynchronous(std::string_view name, const OptimizerOptions& options) {
  check_optimizer_name(name);
  if (name == "push-sum") return options.overlap;
  return std::ranges::find(kNames, name, &OptimizerName::name)->is_asynchronous;
}

OnLostNeighbor on_lost_neighbor(std::string_view name) {
  if (name == "error") return OnLostNeighbor::kError;
  if (name == "drop") return OnLostNeighbor::kDrop;
  const std::vector<std::string> known{"error", "drop"};
  throw Error(unknown_name("way with lost neighbors", name, known));
}

MixingOrder mixing_order(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [text, order] : kOrders) {
    if (text == name) return order;
    known.emplace_back(text);
  }
  throw Error(unknown_name("mixing order", name, known));
}

std::unique_ptr<Decentralized> make_optimizer(std::string_view name, transport::Group& group,
                                              torch::nn::Module& module,
                                              std::unique_ptr<torch::optim::Optimizer> local,
                                              const topology::Schedule& schedule,
                                              const OptimizerOptions& options) {
  check_optimizer_name(name);
  if (name == "allreduce") {
    return std::make_unique<AllReduce>(
        group, module, std::move(local),
        AllReduceOptions().initial(options.initial).timeout(options.timeout));
  }
  if (name == "gradient-tracking") {
    return std::make_unique<GradientTracking>(
        group, module, std::move(local), schedule,
        GradientTrackingOptions().initial(options.initial).timeout(options.timeout));
  }
  if (name == "exact-diffusion") {
    return std::make_unique<ExactDiffusion>(
        group, module, std::move(local), schedule,
        ExactDiffusionOptions().initial(options.initial).timeout(options.timeout));
  }
  if (name == "push-sum") {
    return std::make_unique<PushSum>(group, module, std::move(local), schedule,
                                     PushSumOptions()
                                         .overlap(options.overlap)
                                         .initial(options.initial)
                                         .timeout(options.timeout)
                                         .on_lost_neighbor(options.on_lost_neighbor));
  }
  if (name == "async-gossip") {
    return std::make_unique<AsyncGossip>(group, module, std::move(local), schedule,
                                         AsyncGossipOptions()
                                             .initial(options.initial)
                                             .timeout(options.timeout)
                                             .on_lost_neighbor(options.on_lost_neighbor));
  }
  if (name == "ad-psgd") {
    return std::make_unique<ADPSGD>(group, module, std::move(local), schedule,
                                    ADPSGDOptions()
                                        .exchanges_per_step(options.exchanges_per_step)
                                        .seed(options.seed)
                                        .initial(options.initial)
                                        .timeout(options.timeout)
                                        .on_lost_neighbor(options.on_lost_neighbor));
  }
  if (name == "a2cid2") {
    return std::make_unique<A2CiD2>(group, module, std::move(local), schedule,
                                    A2CiD2Options()
                                        .exchanges_per_step(options.exchanges_per_step)
                                        .seed(options.seed)
                                        .initial(options.initial)
                                        .timeout(options.timeout)
                                        .on_lost_neighbor(options.on_lost_neighbor));
  }
  return std::make_unique<GossipSGD>(group, module, std::move(local), schedule,
                                     GossipSGDOptions()
                                         .order(options.order)
                                         .local_steps(options.local_steps)
                                         .initial(options.initial)
                                         .timeout(options.timeout)
                                         .on_lost_neighbor(options.on_lost_neighbor));
}

}  // namespace gossip::optim
