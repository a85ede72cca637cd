// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/base/error.h>
#include <libgossip/optim/a2cid2.h>
#include <libgossip/optim/pair_plan.h>

namespace gossip::optim {
namespace {

/// Between hosts the half of who asked comes after a round trip.
constexpr double kFactorUnderDelay = 0.5;

double eta_factor(const transport::Group& group, const A2CiD2Options& options) {
  if (options.eta_factor() != 0.0) return options.eta_factor();
  return transport::is_one_host(group) ? 1.0 : kFactorUnderDelay;
}

}  // namespace

A2CiD2::A2CiD2(transport::Group& group, torch::nn::Module& module,
               std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
               const A2CiD2Options& options)
    : Decentralized(
          group, module, std::move(local),
          detail::pair_plan(group, schedule,
                            [factor = eta_factor(group, options)](const topology::Graph& graph) {
                              return std::make_shared<algorithm::A2CiD2>(
                                  algorithm::a2cid2_constants(graph, 1.0, factor));
                            },
                            {.exchanges_per_step = options.exchanges_per_step(),
                             .seed = options.seed(),
                             .timeout = options.timeout(),
                             .on_lost_neighbor = options.on_lost_neighbor()}),
          schedule,
          {.initial = options.initial(),
           .timeout = options.timeout(),
           .name = "a2cid2",
           .text = fmt::format(
               "exchanges_per_step {}, eta_factor {}, seed {}, on_lost_neighbor {}, initial {}",
               options.exchanges_per_step(), options.eta_factor(), options.seed(),
               static_cast<int>(options.on_lost_neighbor()),
               static_cast<int>(options.initial()))}) {}

}  // namespace gossip::optim
