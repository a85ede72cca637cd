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

/// Over the topology, with the options that all optimizers have.
template <class Optimizer, class Options>
std::unique_ptr<Decentralized> over_topology(Request& request, Options options) {
  options.initial(request.options.initial).timeout(request.options.timeout);
  return std::make_unique<Optimizer>(request.group, request.module, std::move(request.local),
                                     request.schedule, options);
}

template <class Optimizer, class Options>
std::unique_ptr<Decentralized> among_all(Request& request, Options options) {
  options.initial(request.options.initial).timeout(request.options.timeout);
  return std::make_unique<Optimizer>(request.group, request.module, std::move(request.local),
                                     options);
}

/// The methods that can drop a lost neighbor.
constexpr std::array<std::string_view, 6> kDropping{"gossip-sgd", "push-sum", "async-gossip",
                                                    "ad-psgd",    "a2cid2",   "dadao"};

bool may_drop(std::string_view name) {
  return std::ranges::find(kDropping, name) != kDropping.end();
}

struct Method {
  OptimizerName name;
  std::unique_ptr<Decentralized> (*make)(Request&, const OptimizerOptions&);
};

/// All methods.
constexpr std::array kMethods{
    Method{{"allreduce", "the baseline: every step uses the mean of all gradients", "-", 0,
            "all-reduce a step", kNone},
           [](Request& r, const OptimizerOptions&) {
             return among_all<AllReduce>(r, AllReduceOptions());
           }},
    Method{
        {"gossip-sgd", "averages parameters with neighbors after (atc) or before (cta) the update",
         "Lian et al. 2017, arXiv 1705.09056", 0, "1 every H steps", kDoublyStochastic},
        [](Request& r, const OptimizerOptions& o) {
          return over_topology<GossipSGD>(r, GossipSGDOptions()
                                                 .order(o.order)
                                                 .local_steps(o.local_steps)
                                                 .on_lost_neighbor(o.on_lost_neighbor));
        }},
    Method{{"local-sgd", "the mean of all models every H steps", "Stich 2019, arXiv 1805.09767", 0,
            "all-reduce every H steps", kNone},
           [](Request& r, const OptimizerOptions& o) {
             return among_all<LocalSGD>(
                 r, LocalSGDOptions().local_steps(o.local_steps).switch_step(o.switch_step));
           }},
    Method{{"hierarchical-local-sgd", "often the mean of a group, seldom of all",
            "Lin et al. 2020, arXiv 1808.07217", 0, "all-reduce every H2 steps", kNone},
           [](Request& r, const OptimizerOptions& o) {
             return among_all<HierarchicalLocalSGD>(r, HierarchicalLocalSGDOptions()
                                                           .local_steps(o.local_steps)
                                                           .outer_steps(o.outer_steps)
                                                           .group_size(o.group_size));
           }},
    Method{{"slowmo", "local-sgd with a slow momentum over the rounds",
            "Wang et al. 2020, arXiv 1910.00643", 2, "all-reduce every H steps", kNone},
           [](Request& r, const OptimizerOptions& o) {
             return among_all<SlowMo>(
                 r, SlowMoOptions().local_steps(o.local_steps).slow_momentum(o.method_momentum));
           }},
    Method{{"diloco", "local-sgd with an outer Nesterov step; may send fragments in turn",
            "Douillard et al. 2023, arXiv 2311.08105", 2, "all-reduce every H steps", kNone},
           [](Request& r, const OptimizerOptions& o) {
             return among_all<DiLoCo>(r, DiLoCoOptions()
                                             .local_steps(o.local_steps)
                                             .outer_rate(o.outer_rate)
                                             .outer_momentum(o.method_momentum)
                                             .fragments(o.fragments));
           }},
    Method{{"scaffold", "local-sgd without drift, however the ranks' data differ",
            "Karimireddy et al. 2020, arXiv 1910.06378", 2, "all-reduce every H steps", kNone},
           [](Request& r, const OptimizerOptions& o) {
             return among_all<Scaffold>(r, ScaffoldOptions().local_steps(o.local_steps));
           }},
    Method{{"qg-dsgdm", "gossip-sgd with a momentum that follows the mixed models",
            "Lin et al. 2021, arXiv 2102.04761", 1, "1 a step", kDoublyStochastic},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<QGDSGDm>(r, QGDSGDmOptions().momentum(o.method_momentum));
           }},
    Method{{"decentlam", "gossip-sgd with a momentum that adds no bias",
            "Yuan et al. 2021, arXiv 2104.11981", 1, "1 a step", kDoublyStochastic},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<DecentLaM>(r, DecentLaMOptions().momentum(o.method_momentum));
           }},
    Method{{"momentum-tracking", "momentum without bias, however the ranks' data differ",
            "Takezawa et al. 2023, arXiv 2209.15505", 2, "2 a step", kDoublyStochastic},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<MomentumTracking>(
                 r, MomentumTrackingOptions().momentum(o.method_momentum));
           }},
    Method{{"gradient-tracking",
            "follows the mean of all gradients, so that it does not matter how the data differ",
            "Di Lorenzo, Scutari 2016, arXiv 1602.00591", 1, "2 a step", kDoublyStochastic},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<GradientTracking>(
                 r, GradientTrackingOptions().order(o.tracking_order));
           }},
    Method{{"exact-diffusion", "gossip-sgd without bias (also: D2, NIDS)",
            "Yuan et al. 2019, arXiv 1702.05122", 1, "1 a step", kSymmetric},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<ExactDiffusion>(r, ExactDiffusionOptions().lazy(o.lazy));
           }},
    Method{{"extra", "without bias; what is sent does not wait for the gradient",
            "Shi et al. 2015, arXiv 1404.6264", 2, "1 a step", kSymmetric},
           [](Request& r, const OptimizerOptions&) {
             return over_topology<EXTRA>(r, EXTRAOptions());
           }},
    Method{{"led", "exact diffusion with local steps", "Alghunaim 2024, arXiv 2302.00620", 1,
            "1 every H steps", kSymmetric},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<LED>(r, LEDOptions().local_steps(o.local_steps).lazy(o.lazy));
           }},
    Method{{"kgt", "gradient tracking with local steps", "Liu et al. 2023, arXiv 2301.01313", 2,
            "2 every H steps", kDoublyStochastic},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<KGT>(r, KGTOptions().local_steps(o.local_steps));
           }},
    Method{
        {"lsgt", "local steps along a tracker that waits for the round's end",
         "Ge, Chang 2023, doi 10.1109/TSP.2023.3248087", 2, "2 every H steps", kDoublyStochastic},
        [](Request& r, const OptimizerOptions& o) {
          return over_topology<LSGT>(r, LSGTOptions().local_steps(o.local_steps));
        }},
    Method{{"push-sum",
            "splits what it has among receivers that need not answer; --overlap: nobody waits",
            "Assran et al. 2019, arXiv 1811.10792", 1, "1 a step", "any, also directed"},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<PushSum>(
                 r, PushSumOptions().overlap(o.overlap).on_lost_neighbor(o.on_lost_neighbor));
           }},
    Method{{"push-diging", "push-sum that follows the mean of all gradients",
            "Nedic et al. 2017, arXiv 1607.03218", 1, "2 a step", "any, also directed"},
           [](Request& r, const OptimizerOptions&) {
             return over_topology<PushDIGing>(r, PushDIGingOptions());
           }},
    Method{{"push-pull", "gradient tracking over directed graphs",
            "Pu et al. 2021, arXiv 1810.06653", 1, "2 a step", "any, also directed"},
           [](Request& r, const OptimizerOptions&) {
             return over_topology<PushPull>(r, PushPullOptions());
           }},
    Method{{"push-pull-device-sampling", "push-pull in which only sampled ranks compute and send",
            "Hsieh et al. 2023, arXiv 2206.04113", 2, "2 a step, if active", "any, also directed"},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<SampledPushPull>(
                 r, SampledPushPullOptions().active(o.active).seed(o.seed));
           }},
    Method{{"choco-sgd", "gossip of compressed differences",
            "Koloskova et al. 2019, arXiv 1902.00340", 2, "1 compressed", kDoublyStochastic},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<ChocoSGD>(r, ChocoSGDOptions()
                                                   .fraction(o.compression)
                                                   .consensus_rate(o.consensus_rate)
                                                   .overlapped(o.overlap));
           }},
    Method{{"deep-squeeze", "gossip of compressed models with error feedback",
            "Tang et al. 2019, arXiv 1907.07346", 1, "1 compressed", kDoublyStochastic},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<DeepSqueeze>(
                 r, DeepSqueezeOptions().fraction(o.compression).consensus_rate(o.consensus_rate));
           }},
    Method{{"ef-sgd", "all ranks share compressed gradients, with error feedback",
            "Karimireddy et al. 2019, arXiv 1901.09847", 1, "1 compressed", kNone},
           [](Request& r, const OptimizerOptions& o) {
             return among_all<EFSGD>(r, EFSGDOptions().fraction(o.compression));
           }},
    Method{{"async-gossip", "mixes with the newest models of its neighbors at its own pace",
            "Xie et al. 2019, arXiv 1903.03934", 0, "1 a step", kAny, true},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<AsyncGossip>(
                 r, AsyncGossipOptions().on_lost_neighbor(o.on_lost_neighbor));
           }},
    Method{{"ad-psgd", "averages with random neighbors, pair by pair, each rank at its own pace",
            "Lian et al. 2018, arXiv 1710.06952", 1, "1 an exchange", "undirected", true},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<ADPSGD>(r, ADPSGDOptions()
                                                 .exchanges_per_step(o.exchanges_per_step)
                                                 .seed(o.seed)
                                                 .on_lost_neighbor(o.on_lost_neighbor));
           }},
    Method{{"a2cid2", "ad-psgd with a continuous momentum, for graphs that connect badly",
            "Nabli et al. 2023, arXiv 2306.08289", 2, "1 an exchange", "undirected", true},
           [](Request& r, const OptimizerOptions& o) {
             return over_topology<A2CiD2>(r, A2CiD2Options()
                                                 .exchanges_per_step(o.exchanges_per_step)
                                                 .seed(o.seed)
                                                 .on_lost_neighbor(o.on_lost_neighbor));
           }},
    Method{{"dadao", "accelerated, for strongly convex losses: weight decay is mu",
            "Nabli, Oyallon 2023, arXiv 2208.00779", 6, "1 an exchange", "undirected", true},
           [](Request& r, const OptimizerOptions& o) -> std::unique_ptr<Decentralized> {
             return std::make_unique<DADAO>(r.group, r.module, r.schedule,
                                            DADAOOptions()
                                                .weight_decay(o.weight_decay)
                                                .mu(o.mu)
                                                .lipschitz(o.lipschitz)
                                                .safety(o.safety)
                                                .seed(o.seed)
                                                .initial(r.options.initial)
                                                .timeout(r.options.timeout));
           }},
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
  GOSSIP_CHECK(options.on_lost_neighbor == OnLostNeighbor::kError || may_drop(name),
               "'{}' cannot go on without a lost neighbor: only {} can. Take on_lost_neighbor "
               "'error'.",
               name, fmt::join(kDropping, ", "));
  const auto method =
      std::ranges::find(kMethods, name, [](const Method& entry) { return entry.name.name; });
  Request request{group, module, std::move(local), schedule, options};
  return method->make(request, options);
}

}  // namespace gossip::optim
