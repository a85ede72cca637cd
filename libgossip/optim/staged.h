// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Optimizers that are described by their options.

#include <memory>
#include <utility>

#include <libgossip/optim/decentralized.h>
#include <libgossip/topology/families.h>

namespace gossip::optim {

/// What makes a synchronous method: its options have a factory name (kName), initial() and
/// timeout(), method(schedule, rank), which may throw gossip::Error for options out of range, and
/// text(), which ranks must agree on.
template <class Options>
concept StagedOptions = requires(const Options& options, const topology::Schedule& schedule) {
  { options.method(schedule, Rank{}) } -> std::same_as<StagedMethod>;
  { options.text() } -> std::convertible_to<std::string>;
  { Options::kName } -> std::convertible_to<std::string>;
};

/// The optimizer of a synchronous method over a topology. Collective: construction and destruction.
/// Throws gossip::Error, on all ranks, for options out of range and for a topology that the method
/// cannot use, and says which would do.
template <StagedOptions Options>
class Staged : public Decentralized {
 public:
  Staged(transport::Group& group, torch::nn::Module& module,
         std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
         const Options& options = {})
      : Decentralized(group, module, std::move(local),
                      [&] { return options.method(schedule, group.rank()); }, schedule,
                      {.initial = options.initial(),
                       .timeout = options.timeout(),
                       .name = std::string(Options::kName),
                       .text = options.text()}) {}

  template <LocalOptimizer Local>
  Staged(transport::Group& group, torch::nn::Module& module, Local local,
         const topology::Schedule& schedule, const Options& options = {})
      : Staged(group, module, std::make_unique<Local>(std::move(local)), schedule, options) {}
};

/// The same for methods among all ranks, without a topology.
template <StagedOptions Options>
class StagedAmongAll : public Staged<Options> {
 public:
  StagedAmongAll(transport::Group& group, torch::nn::Module& module,
                 std::unique_ptr<torch::optim::Optimizer> local, const Options& options = {})
      : Staged<Options>(group, module, std::move(local), topology::complete(group.size()),
                        options) {}

  template <LocalOptimizer Local>
  StagedAmongAll(transport::Group& group, torch::nn::Module& module, Local local,
                 const Options& options = {})
      : StagedAmongAll(group, module, std::make_unique<Local>(std::move(local)), options) {}
};

}  // namespace gossip::optim
