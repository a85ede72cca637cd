// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/optim/all_reduce.h>
#include <libgossip/optim/factory.h>

namespace gossip::optim {
namespace {

constexpr std::array<OptimizerName, 2> kNames{{
    {"allreduce", "the baseline: every step uses the mean of all gradients", "-"},
    {"gossip-sgd",
     "averages parameters with the topology's neighbors after (atc) or before (cta) the update",
     "Lian et al. 2017, arXiv 1705.09056"},
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
  return std::make_unique<GossipSGD>(group, module, std::move(local), schedule,
                                     GossipSGDOptions()
                                         .order(options.order)
                                         .local_steps(options.local_steps)
                                         .initial(options.initial)
                                         .timeout(options.timeout));
}

}  // namespace gossip::optim
