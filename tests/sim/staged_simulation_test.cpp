// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/all_reduce.h>
#include <libgossip/algorithm/choco_sgd.h>
#include <libgossip/algorithm/diloco.h>
#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/algorithm/extra.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/hierarchical_local_sgd.h>
#include <libgossip/algorithm/kgt.h>
#include <libgossip/algorithm/led.h>
#include <libgossip/algorithm/local_sgd.h>
#include <libgossip/algorithm/push_diging.h>
#include <libgossip/algorithm/push_pull.h>
#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/algorithm/scaffold.h>
#include <libgossip/base/error.h>
#include <libgossip/sim/staged_simulation.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

#include "reference/problem.h"
#include "support/expect_throw.h"

namespace gossip::sim {
namespace {

using algorithm::MixingOrder;
using algorithm::PushPull;
using algorithm::PushPullOrder;
using algorithm::Stepping;
using algorithm::TrackingOrder;
using test::expect_throw;
using test::ReferenceProblem;
using topology::Matrices;
using Method = StagedSimulation::Method;

constexpr int kWorkers = 8;

nlohmann::json read(const std::string& name) {
  std::ifstream file(GOSSIP_TEST_REFERENCE_DIR "/" + name);
  return nlohmann::json::parse(file);
}

const ReferenceProblem& problem() {
  static const ReferenceProblem kProblem(GOSSIP_TEST_REFERENCE_DIR "/quadratic_n8.json");
  return kProblem;
}

void gradient_of_problem(Rank worker, std::span<const double> x, std::span<double> gradient) {
  std::ranges::copy(problem().gradient(worker, {x.begin(), x.end()}), gradient.begin());
}

/// A method of the file.
struct Case {
  std::string name;
  std::vector<Method> methods;  // of all workers, or of each
  Matrices matrices;
  std::string rate = "eta";
  std::int64_t steps_per_iteration = 1;
  bool has_common_start = false;
};

template <class Algorithm, class... Arguments>
std::vector<Method> all_of(Arguments... arguments) {
  return {kWorkers, std::make_shared<const Algorithm>(arguments...)};
}

Matrices matrices(const std::string& name, const std::string& parameter = "W") {
  return problem().matrices(name, parameter);
}

Matrices directed() {
  return {problem().matrices("push_pull", "R"), problem().matrices("push_pull", "C")};
}

Case device_sampling(const std::string& name, Stepping stepping) {
  const nlohmann::json& json = problem().json();
  std::vector<topology::Arc> arcs;
  for (const auto& arc : json.at("matrices").at("directed_arcs_sender_receiver")) {
    arcs.push_back({arc.at(0).get<Rank>(), arc.at(1).get<Rank>()});
  }
  const topology::Schedule graph = topology::Graph::directed(kWorkers, arcs, "directed");
  const topology::Sampling sampling(
      kWorkers, json.at("device_sampling").at("active_sets").get<std::vector<std::vector<Rank>>>());
  std::vector<Method> methods;
  for (Rank rank = 0; rank < kWorkers; ++rank) {
    methods.push_back(std::make_shared<const PushPull>(
        [=](std::int64_t step) { return sampling.is_active(step, rank); }, stepping));
  }
  return {name, methods,
          Matrices(topology::sampled_rows(graph, sampling),
                   topology::sampled_columns(graph, sampling))};
}

std::vector<Case> cases() {
  using algorithm::GossipSGD;
  using algorithm::GradientTracking;
  const Matrices w = matrices("dpsgd_atc");
  const Matrices lazy = matrices("exact_diffusion");
  const std::vector<std::vector<Rank>> halves{{0, 1, 2, 3}, {4, 5, 6, 7}};
  return {
      {.name = "allreduce_gd",
       .methods = all_of<algorithm::AllReduce>(),
       .matrices = w,
       .has_common_start = true},
      {"dpsgd_atc", all_of<GossipSGD>(MixingOrder::kAdaptThenCombine), w},
      {"dpsgd_cta", all_of<GossipSGD>(MixingOrder::kCombineThenAdapt), w},
      {"diffusion_cta", all_of<GossipSGD>(MixingOrder::kDiffusion), w},
      {"dpsgd_atc_one_peer_exp", all_of<GossipSGD>(), matrices("dpsgd_atc_one_peer_exp")},
      {"local_sgd_gossip", all_of<GossipSGD>(MixingOrder::kAdaptThenCombine, 4), w},
      {"local_sgd", all_of<algorithm::LocalSGD>(4), w, "eta", 1, true},
      {"hierarchical_local_sgd", all_of<algorithm::HierarchicalLocalSGD>(2, 8),
       topology::average_within(kWorkers, halves), "eta", 1, true},
      {"diloco", all_of<algorithm::DiLoCo>(4, 0.7, 0.9), w, "gamma", 4, true},
      {"scaffold", all_of<algorithm::Scaffold>(4, 1.0), w, "eta_l", 4, true},
      {"gt_diging", all_of<GradientTracking>(TrackingOrder::kDIGing), w},
      {"gt_semi_atc", all_of<GradientTracking>(TrackingOrder::kSemiATC), w},
      {"gt_atc", all_of<GradientTracking>(TrackingOrder::kATC), w},
      {"exact_diffusion", all_of<algorithm::ExactDiffusion>(), lazy},
      {"extra", all_of<algorithm::EXTRA>(), w},
      {"led", all_of<algorithm::LED>(4, 0.25), lazy, "alpha", 4},
      {"kgt", all_of<algorithm::KGT>(4, 1.0), w, "eta_c", 4},
      {"sgp", all_of<algorithm::PushSumSGD>(), directed()},
      {"sgp_one_peer_exp", all_of<algorithm::PushSumSGD>(), matrices("sgp_one_peer_exp", "C")},
      {"push_diging", all_of<algorithm::PushDIGing>(), directed()},
      {"ab", all_of<PushPull>(PushPullOrder::kAB), directed()},
      {"push_pull", all_of<PushPull>(PushPullOrder::kPushPull), directed()},
      device_sampling("push_pull_device_sampling", Stepping::kActive),
      device_sampling("push_pull_device_sampling_all_step", Stepping::kAll),
  };
}

StagedSimulation group_of(const Case& tested) {
  StagedSimulation group(tested.methods, tested.matrices, problem().dimension(),
                         problem().number(tested.name, tested.rate));
  std::vector<double> start;
  for (Rank worker = 0; worker < kWorkers; ++worker) {
    std::ranges::copy(problem().start(worker, tested.has_common_start), std::back_inserter(start));
  }
  group.set_models(start);
  return group;
}

class Reference : public testing::TestWithParam<Case> {};

/// `iterates`: arrays by the number of the iteration.
void expect_iterates(const Case& tested, const nlohmann::json& iterates) {
  StagedSimulation group = group_of(tested);
  std::map<std::int64_t, nlohmann::json> in_order;
  for (const auto& [iteration, arrays] : iterates.items()) in_order[std::stoll(iteration)] = arrays;

  for (const auto& [iteration, expected] : in_order) {
    while (group.steps() < iteration * tested.steps_per_iteration) group.step(gradient_of_problem);
    for (Rank worker = 0; worker < kWorkers; ++worker) {
      const auto i = static_cast<std::size_t>(worker);
      for (std::size_t k = 0; k < problem().dimension(); ++k) {
        ASSERT_NEAR(group.model(worker)[k], expected.at("x").at(i).at(k).get<double>(), 1e-10)
            << "worker " << worker << " after " << iteration;
      }
      const double weight = expected.contains("w") ? expected.at("w").at(i).get<double>() : 1.0;
      ASSERT_NEAR(group.weight(worker), weight, 1e-10);
    }
  }
}

TEST_P(Reference, IteratesAgree) {
  expect_iterates(GetParam(), problem().json().at("algorithms").at(GetParam().name).at("iterates"));
}

INSTANTIATE_TEST_SUITE_P(Algorithms, Reference, testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(StagedSimulation, PeriodsOfHierarchicalLocalSGDNeedNotDivideEachOther) {
  expect_iterates(
      {"hierarchical_local_sgd", all_of<algorithm::HierarchicalLocalSGD>(2, 5),
       topology::average_within(kWorkers, {{0, 1, 2, 3}, {4, 5, 6, 7}}), "eta", 1, true},
      read("hierarchical_local_sgd_2_5.json").at("iterates"));
}

const Method kTracking = std::make_shared<const algorithm::GradientTracking>();
const Method kPlain = std::make_shared<const algorithm::GossipSGD>();

TEST(StagedSimulation, CountsAnEdgeOnceForAMessageEachWay) {
  StagedSimulation ring(kTracking, topology::ring(6), 5, 0.1);
  for (int step = 0; step < 3; ++step) ring.step(gradient_of_problem);

  EXPECT_EQ(ring.gradients(), 18);
  EXPECT_EQ(ring.communications(), 18.0);
  EXPECT_EQ(ring.messages(), 36);
  EXPECT_EQ(ring.bytes_sent(), 36 * 2 * 5 * 8) << "model and tracker";
}

TEST(StagedSimulation, CountsAMessageOfADirectedGraphAsHalf) {
  StagedSimulation push(std::make_shared<const algorithm::PushDIGing>(), directed(), 5, 0.1);
  push.step(nullptr);
  EXPECT_EQ(push.gradients(), 0);
  EXPECT_EQ(push.messages(),
            problem().json().at("matrices").at("directed_arcs_sender_receiver").size());
  EXPECT_EQ(push.communications(), static_cast<double>(push.messages()) / 2.0);

  StagedSimulation mean(std::make_shared<const algorithm::AllReduce>(), topology::ring(6), 5, 0.1);
  mean.step(nullptr);
  EXPECT_EQ(mean.communications(), 5.0) << "the edges of a tree";
}

TEST(StagedSimulation, InactiveWorkersSendNothing) {
  const auto sets = problem()
                        .json()
                        .at("device_sampling")
                        .at("active_sets")
                        .get<std::vector<std::vector<Rank>>>();
  StagedSimulation group =
      group_of(device_sampling("push_pull_device_sampling", Stepping::kActive));
  std::vector<int> num_sent(kWorkers, 0);
  for (const auto& arc : problem().json().at("matrices").at("directed_arcs_sender_receiver")) {
    ++num_sent[arc.at(0).get<std::size_t>()];
  }
  std::int64_t active = 0;
  std::int64_t most = 0;

  for (std::size_t step = 0; step < sets.size(); ++step) {
    group.step(gradient_of_problem);
    active += static_cast<std::int64_t>(sets[step].size());
    for (const Rank rank : sets[step]) most += num_sent[static_cast<std::size_t>(rank)];
  }

  EXPECT_EQ(group.gradients(), active);
  EXPECT_GT(group.messages(), 0);
  EXPECT_LE(group.messages(), most);
}

TEST(StagedSimulation, DrivesThousandsOfWorkers) {
  constexpr int kMany = 10000;
  StagedSimulation group(kTracking, topology::ring(kMany), 2, 0.1);
  const auto gradient = [](Rank worker, std::span<const double> x, std::span<double> out) {
    for (std::size_t k = 0; k < 2; ++k) out[k] = x[k] - std::cos(worker);
  };
  for (int step = 0; step < 20; ++step) group.step(gradient);

  double corrections = 0.0;  // trackers less gradients
  for (Rank worker = 0; worker < kMany; ++worker) {
    corrections += group.vector(worker, algorithm::kFirstState)[0];
  }
  EXPECT_NEAR(corrections, 0.0, 1e-9);
  EXPECT_EQ(group.communications(), 20.0 * kMany);
}

TEST(StagedSimulation, StartsOver) {
  const std::vector<double> start{1.0, 2.0, 3.0, 4.0, 5.0, 6.0};
  StagedSimulation group(kTracking, topology::ring(6), 1, 0.1);
  const auto gradient = [](Rank, std::span<const double> x, std::span<double> out) {
    out[0] = x[0];
  };
  group.set_models(start);
  group.step(gradient);
  const double after = group.model(2)[0];
  group.step(gradient);

  group.set_models(start);
  EXPECT_EQ(group.steps(), 0);
  EXPECT_EQ(group.communications(), 0.0);
  group.step(gradient);
  EXPECT_EQ(group.model(2)[0], after);
}

TEST(StagedSimulation, RefusesWhatDoesNotFit) {
  const topology::Graph ring = topology::ring(4);
  expect_throw<Error>([&] { StagedSimulation(kPlain, ring, 1, -0.5); },
                      {"learning rate is -0.5", "'gossip-sgd' needs a number of at least 0"});
  expect_throw<Error>(
      [&] { StagedSimulation(std::make_shared<const algorithm::KGT>(4, 1.0), ring, 1, 0.0); },
      {"learning rate is 0", "above 0"});
  expect_throw<Error>(
      [&] { StagedSimulation(std::vector<Method>(3, kPlain), Matrices(ring), 1, 0.1); },
      {"methods for 3 workers", "'ring' is made for 4"});
  expect_throw<Error>(
      [&] { StagedSimulation(kPlain, topology::uniform_in_degree(topology::star(4)), 1, 0.1); },
      {"sums to"});
  expect_throw<Error>(
      [&] { StagedSimulation(std::make_shared<const algorithm::ChocoSGD>(0.5), ring, 1, 0.1); },
      {"compresses", "engine::StagedWorker"});
  expect_throw<Error>([&] { StagedSimulation(kPlain, ring, 2, 0.1).set_models({}); },
                      {"4 workers of 2 elements", "0 numbers"});
  StagedSimulation mixed({kPlain, kPlain, kTracking, kPlain}, Matrices(ring), 1, 0.1);
  expect_throw<Error>([&] { mixed.step(nullptr); },
                      {"In step 0 worker 2 ('gradient-tracking')", "worker 0 ('gossip-sgd')"});
}

}  // namespace
}  // namespace gossip::sim
