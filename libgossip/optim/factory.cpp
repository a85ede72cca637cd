// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/optim/a2cid2.h>
#include <libgossip/optim/ad_psgd.h>
#include <libgossip/optim/all_reduce.h>
#include <libgossip/optim/async_gossip.h>
#include <libgossip/optim/bias_corrected.h>
#include <libgossip/optim/compressed.h>
#include <libgossip/optim/dadao.h>
#include <libgossip/optim/factory.h>
#include <libgossip/optim/local_steps.h>
#include <libgossip/optim/momentum.h>
#include <libgossip/optim/push_pull.h>
#include <libgossip/optim/push_sum.h>

namespace gossip::optim {
namespace {

constexpr std::string_view kAny = "any";
constexpr std::string_view kDoublyStochastic = "doubly stochastic";
constexpr std::string_view kSymmetric = "symmetric, constant";
constexpr std::string_view kNone = "none: all ranks";

/// What every maker is given.
struct Request {
  transport::Group& group;
  torch::nn::Module& module;
  std::unique_ptr<torch::optim::Optimizer> local;
  const topology::Schedule& schedule;
  const OptimizerOptions& options;
};

struct Method {
  OptimizerName name;
  std::unique_ptr<Decentralized> (*make)(Request&);
};

template <class Options>
constexpr bool kMayDrop = requires(Options options) {
  options.on_lost_neighbor(OnLostNeighbor::kDrop);
};

/// `OptionsOf` gives a method's own options; these are the ones that several methods have.
template <class OptionsOf>
auto options_for(const OptimizerOptions& given) {
  auto options = OptionsOf()(given);
  options.initial(given.initial).timeout(given.timeout);
  if constexpr (kMayDrop<decltype(options)>) options.on_lost_neighbor(given.on_lost_neighbor);
  return options;
}

/// What the table says of a method beside what stands there.
template <class OptionsOf>
constexpr OptimizerName completed(OptimizerName name) {
  name.may_drop = kMayDrop<std::invoke_result_t<OptionsOf, const OptimizerOptions&>>;
  return name;
}

template <class Optimizer, class OptionsOf>
constexpr Method over_topology(const OptimizerName& name, OptionsOf /*options*/) {
  return {completed<OptionsOf>(name), [](Request& r) -> std::unique_ptr<Decentralized> {
            return std::make_unique<Optimizer>(r.group, r.module, std::move(r.local), r.schedule,
                                               options_for<OptionsOf>(r.options));
          }};
}

template <class Optimizer, class OptionsOf>
constexpr Method among_all(const OptimizerName& name, OptionsOf /*options*/) {
  return {completed<OptionsOf>(name), [](Request& r) -> std::unique_ptr<Decentralized> {
            return std::make_unique<Optimizer>(r.group, r.module, std::move(r.local),
                                               options_for<OptionsOf>(r.options));
          }};
}

/// Of a method whose local optimizer is its own.
template <class Optimizer, class OptionsOf>
constexpr Method without_local(const OptimizerName& name, OptionsOf /*options*/) {
  return {completed<OptionsOf>(name), [](Request& r) -> std::unique_ptr<Decentralized> {
            return std::make_unique<Optimizer>(r.group, r.module, r.schedule,
                                               options_for<OptionsOf>(r.options));
          }};
}

/// All methods.
constexpr std::array kMethods{
    among_all<AllReduce>({"allreduce", "the baseline: every step uses the mean of all gradients",
                          "-", 0, "all-reduce a step", kNone},
                         [](const OptimizerOptions& /*none*/) { return AllReduceOptions(); }),
    over_topology<GossipSGD>(
        {"gossip-sgd", "averages parameters with neighbors after (atc) or before (cta) the update",
         "Lian et al. 2017, arXiv 1705.09056", 0, "1 every H steps", kDoublyStochastic},
        [](const OptimizerOptions& o) {
          return GossipSGDOptions().order(o.order).local_steps(o.local_steps);
        }),
    among_all<LocalSGD>(
        {"local-sgd", "the mean of all models every H steps", "Stich 2019, arXiv 1805.09767", 0,
         "all-reduce every H steps", kNone},
        [](const OptimizerOptions& o) {
          return LocalSGDOptions().local_steps(o.local_steps).switch_step(o.switch_step);
        }),
    among_all<HierarchicalLocalSGD>(
        {"hierarchical-local-sgd", "often the mean of a group, seldom of all",
         "Lin et al. 2020, arXiv 1808.07217", 0, "all-reduce every H2 steps", kNone},
        [](const OptimizerOptions& o) {
          return HierarchicalLocalSGDOptions()
              .local_steps(o.local_steps)
              .outer_steps(o.outer_steps)
              .group_size(o.group_size);
        }),
    among_all<SlowMo>(
        {"slowmo", "local-sgd with a slow momentum over the rounds",
         "Wang et al. 2020, arXiv 1910.00643", 2, "all-reduce every H steps", kNone},
        [](const OptimizerOptions& o) {
          return SlowMoOptions().local_steps(o.local_steps).slow_momentum(o.method_momentum);
        }),
    among_all<DiLoCo>(
        {"diloco", "local-sgd with an outer Nesterov step; may send fragments in turn",
         "Douillard et al. 2023, arXiv 2311.08105", 2, "all-reduce every H steps", kNone},
        [](const OptimizerOptions& o) {
          return DiLoCoOptions()
              .local_steps(o.local_steps)
              .outer_rate(o.outer_rate)
              .outer_momentum(o.method_momentum)
              .fragments(o.fragments);
        }),
    among_all<Scaffold>(
        {"scaffold", "local-sgd without drift, however the ranks' data differ",
         "Karimireddy et al. 2020, arXiv 1910.06378", 2, "all-reduce every H steps", kNone},
        [](const OptimizerOptions& o) { return ScaffoldOptions().local_steps(o.local_steps); }),
    over_topology<QGDSGDm>(
        {"qg-dsgdm", "gossip-sgd with a momentum that follows the mixed models",
         "Lin et al. 2021, arXiv 2102.04761", 1, "1 a step", kDoublyStochastic},
        [](const OptimizerOptions& o) { return QGDSGDmOptions().momentum(o.method_momentum); }),
    over_topology<DecentLaM>(
        {"decentlam", "gossip-sgd with a momentum that adds no bias",
         "Yuan et al. 2021, arXiv 2104.11981", 1, "1 a step", kDoublyStochastic},
        [](const OptimizerOptions& o) { return DecentLaMOptions().momentum(o.method_momentum); }),
    over_topology<MomentumTracking>(
        {"momentum-tracking", "momentum without bias, however the ranks' data differ",
         "Takezawa et al. 2023, arXiv 2209.15505", 2, "2 a step", kDoublyStochastic},
        [](const OptimizerOptions& o) {
          return MomentumTrackingOptions().momentum(o.method_momentum);
        }),
    over_topology<GradientTracking>(
        {"gradient-tracking",
         "follows the mean of all gradients, so that it does not matter how the data differ",
         "Di Lorenzo, Scutari 2016, arXiv 1602.00591", 1, "2 a step", kDoublyStochastic},
        [](const OptimizerOptions& o) {
          return GradientTrackingOptions().order(o.tracking_order);
        }),
    over_topology<ExactDiffusion>(
        {"exact-diffusion", "gossip-sgd without bias (also: D2, NIDS)",
         "Yuan et al. 2019, arXiv 1702.05122", 1, "1 a step", kSymmetric},
        [](const OptimizerOptions& o) { return ExactDiffusionOptions().lazy(o.lazy); }),
    over_topology<EXTRA>({"extra", "without bias; what is sent does not wait for the gradient",
                          "Shi et al. 2015, arXiv 1404.6264", 2, "1 a step", kSymmetric},
                         [](const OptimizerOptions& /*none*/) { return EXTRAOptions(); }),
    over_topology<LED>({"led", "exact diffusion with local steps",
                        "Alghunaim 2024, arXiv 2302.00620", 1, "1 every H steps", kSymmetric},
                       [](const OptimizerOptions& o) {
                         return LEDOptions().local_steps(o.local_steps).lazy(o.lazy);
                       }),
    over_topology<KGT>(
        {"kgt", "gradient tracking with local steps", "Liu et al. 2023, arXiv 2301.01313", 2,
         "2 every H steps", kDoublyStochastic},
        [](const OptimizerOptions& o) { return KGTOptions().local_steps(o.local_steps); }),
    over_topology<LSGT>(
        {"lsgt", "local steps along a tracker that waits for the round's end",
         "Ge, Chang 2023, doi 10.1109/TSP.2023.3248087", 2, "2 every H steps", kDoublyStochastic},
        [](const OptimizerOptions& o) { return LSGTOptions().local_steps(o.local_steps); }),
    over_topology<PushSum>(
        {"push-sum",
         "splits what it has among receivers that need not answer; --overlap: nobody waits",
         "Assran et al. 2019, arXiv 1811.10792", 1, "1 a step", "any, also directed"},
        [](const OptimizerOptions& o) { return PushSumOptions().overlap(o.overlap); }),
    over_topology<PushDIGing>(
        {"push-diging", "push-sum that follows the mean of all gradients",
         "Nedic et al. 2017, arXiv 1607.03218", 1, "2 a step", "any, also directed"},
        [](const OptimizerOptions& /*none*/) { return PushDIGingOptions(); }),
    over_topology<PushPull>(
        {"push-pull", "gradient tracking over directed graphs", "Pu et al. 2021, arXiv 1810.06653",
         1, "2 a step", "any, also directed"},
        [](const OptimizerOptions& /*none*/) { return PushPullOptions(); }),
    over_topology<SampledPushPull>(
        {"push-pull-device-sampling", "push-pull in which only sampled ranks compute and send",
         "Hsieh et al. 2023, arXiv 2206.04113", 2, "2 a step, if active", "any, also directed"},
        [](const OptimizerOptions& o) {
          return SampledPushPullOptions().active(o.active).seed(o.seed);
        }),
    over_topology<ChocoSGD>(
        {"choco-sgd", "gossip of compressed differences", "Koloskova et al. 2019, arXiv 1902.00340",
         2, "1 compressed", kDoublyStochastic},
        [](const OptimizerOptions& o) {
          return ChocoSGDOptions()
              .fraction(o.compression)
              .consensus_rate(o.consensus_rate)
              .overlapped(o.overlap);
        }),
    over_topology<DeepSqueeze>(
        {"deep-squeeze", "gossip of compressed models with error feedback",
         "Tang et al. 2019, arXiv 1907.07346", 1, "1 compressed", kDoublyStochastic},
        [](const OptimizerOptions& o) {
          return DeepSqueezeOptions().fraction(o.compression).consensus_rate(o.consensus_rate);
        }),
    among_all<EFSGD>(
        {"ef-sgd", "all ranks share compressed gradients, with error feedback",
         "Karimireddy et al. 2019, arXiv 1901.09847", 1, "1 compressed", kNone},
        [](const OptimizerOptions& o) { return EFSGDOptions().fraction(o.compression); }),
    over_topology<AsyncGossip>(
        {"async-gossip", "mixes with the newest models of its neighbors at its own pace",
         "Xie et al. 2019, arXiv 1903.03934", 0, "1 a step", kAny, true},
        [](const OptimizerOptions& /*none*/) { return AsyncGossipOptions(); }),
    over_topology<ADPSGD>(
        {"ad-psgd", "averages with random neighbors, pair by pair, each rank at its own pace",
         "Lian et al. 2018, arXiv 1710.06952", 1, "1 an exchange", "undirected", true},
        [](const OptimizerOptions& o) {
          return ADPSGDOptions().exchanges_per_step(o.exchanges_per_step).seed(o.seed);
        }),
    over_topology<A2CiD2>(
        {"a2cid2", "ad-psgd with a continuous momentum, for graphs that connect badly",
         "Nabli et al. 2023, arXiv 2306.08289", 2, "1 an exchange", "undirected", true},
        [](const OptimizerOptions& o) {
          return A2CiD2Options().exchanges_per_step(o.exchanges_per_step).seed(o.seed);
        }),
    without_local<DADAO>(
        {"dadao", "accelerated, for strongly convex losses: weight decay is mu",
         "Nabli, Oyallon 2023, arXiv 2208.00779", 6, "1 an exchange", "undirected", true},
        [](const OptimizerOptions& o) {
          return DADAOOptions()
              .weight_decay(o.weight_decay)
              .mu(o.mu)
              .lipschitz(o.lipschitz)
              .safety(o.safety)
              .seed(o.seed);
        }),
};

constexpr auto kNames = [] {
  std::array<OptimizerName, kMethods.size()> names;
  std::ranges::transform(kMethods, names.begin(), &Method::name);
  return names;
}();

template <class Value, std::size_t size>
using Choices = std::array<std::pair<std::string_view, Value>, size>;

constexpr Choices<MixingOrder, 3> kOrders{{
    {"atc", MixingOrder::kAdaptThenCombine},
    {"cta", MixingOrder::kCombineThenAdapt},
    {"diffusion", MixingOrder::kDiffusion},
}};

constexpr Choices<TrackingOrder, 3> kTrackingOrders{{
    {"semi-atc", TrackingOrder::kSemiATC},
    {"diging", TrackingOrder::kDIGing},
    {"atc", TrackingOrder::kATC},
}};

constexpr Choices<OnLostNeighbor, 2> kOnLostNeighbor{{
    {"error", OnLostNeighbor::kError},
    {"drop", OnLostNeighbor::kDrop},
}};

template <class Value, std::size_t size>
Value choice(std::string_view kind, std::string_view name, const Choices<Value, size>& choices) {
  std::vector<std::string> known;
  for (const auto& [text, value] : choices) {
    if (text == name) return value;
    known.emplace_back(text);
  }
  throw Error(unknown_name(kind, name, known));
}

std::vector<std::string_view> names_that_may_drop() {
  std::vector<std::string_view> names;
  for (const OptimizerName& entry : kNames) {
    if (entry.may_drop) names.push_back(entry.name);
  }
  return names;
}

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
  return choice("way with lost neighbors", name, kOnLostNeighbor);
}

MixingOrder mixing_order(std::string_view name) { return choice("mixing order", name, kOrders); }

TrackingOrder tracking_order(std::string_view name) {
  return choice("tracking order", name, kTrackingOrders);
}

std::unique_ptr<Decentralized> make_optimizer(std::string_view name, transport::Group& group,
                                              torch::nn::Module& module,
                                              std::unique_ptr<torch::optim::Optimizer> local,
                                              const topology::Schedule& schedule,
                                              const OptimizerOptions& options) {
  check_optimizer_name(name);
  const auto method =
      std::ranges::find(kMethods, name, [](const Method& entry) { return entry.name.name; });
  GOSSIP_CHECK(options.on_lost_neighbor == OnLostNeighbor::kError || method->name.may_drop,
               "'{}' cannot go on without a lost neighbor: only {} can. Take on_lost_neighbor "
               "'error'.",
               name, fmt::join(names_that_may_drop(), ", "));
  Request request{group, module, std::move(local), schedule, options};
  return method->make(request);
}

}  // namespace gossip::optim
