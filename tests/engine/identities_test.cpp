// SPDX-License-Identifier: Apache-2.0
// What methods have in common, and what each keeps, on problems of several sizes.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/choco_sgd.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/kernels/codec.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/weights.h>

#include "reference/algorithms.h"
#include "transport/on_ranks.h"

namespace gossip::engine {
namespace {

using nlohmann::json;
using test::ReferenceProblem;
using Rows = std::vector<std::vector<double>>;

/// Workers with different quadratics in `dimension` variables; a ring, and a directed graph.
json problem_of(int workers, std::size_t dimension = 3) {
  SplitMix64 random(7);
  json problem{{"n", workers}, {"d", dimension}};
  for (int i = 0; i < workers; ++i) {
    Rows a(dimension, std::vector<double>(dimension, 0.0));
    std::vector<double> b;
    std::vector<double> x;
    for (std::size_t r = 0; r < dimension; ++r) {
      a[r][r] = 1.0 + random.unit();
      b.push_back(4.0 * random.unit() - 2.0);
      x.push_back(random.unit() - 0.5);
      for (std::size_t c = 0; c < r; ++c) a[r][c] = a[c][r] = 0.2 * random.unit();
    }
    problem["A"].push_back(a);
    problem["b"].push_back(b);
    problem["x0"].push_back(x);
    problem["x0_common"] = x;
  }
  std::vector<topology::Arc> arcs;
  for (Rank i = 0; i < workers && workers > 1; ++i) arcs.push_back({i, (i + 1) % workers});
  if (workers > 3) arcs.push_back({0, workers / 2});
  const auto directed = topology::Graph::directed(workers, arcs, "directed");
  const topology::Schedule ring = topology::ring(workers);
  return {{"problem", problem},
          {"matrices",
           {{"W", ring.matrix(0).rows()},
            {"R", topology::uniform_in_degree(directed).rows()},
            {"C", topology::uniform_out_degree(directed).rows()}}},
          {"algorithms", json::object()}};
}

/// The record of `algorithm` with `parameters` after `iterations`.
json run(json file, const std::string& algorithm, const json& parameters, std::int64_t iterations) {
  file["algorithms"][algorithm]["parameters"] = parameters;
  const ReferenceProblem problem(file, "of the test");
  json result;
  test::on_ranks(problem.num_workers(), [&](transport::Group& group) {
    const json record = test::run_algorithm(problem, algorithm, group, {iterations});
    if (group.rank() == 0) result = record.at(std::to_string(iterations));
  });
  return result;
}

double distance(const json& a, const json& b) {
  const auto left = a.get<Rows>();
  const auto right = b.get<Rows>();
  double most = 0.0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    for (std::size_t k = 0; k < left[i].size(); ++k) {
      most = std::max(most, std::abs(left[i][k] - right[i][k]));
    }
  }
  return most;
}

std::vector<double> sum_of(const json& rows) {
  std::vector<double> sum;
  for (const auto& row : rows.get<Rows>()) {
    sum.resize(row.size(), 0.0);
    for (std::size_t k = 0; k < row.size(); ++k) sum[k] += row[k];
  }
  return sum;
}

class Sizes : public testing::TestWithParam<int> {
 protected:
  const json file_ = problem_of(GetParam());

  /// Both give the same models.
  void expect_same(const std::string& left, const json& left_parameters, const std::string& right,
                   const json& right_parameters, std::int64_t left_iterations = 12,
                   std::int64_t right_iterations = 12) const {
    const json a = run(file_, left, left_parameters, left_iterations);
    const json b = run(file_, right, right_parameters, right_iterations);
    EXPECT_LE(distance(a.at("x"), b.at("x")), 1e-12) << left << " and " << right;
  }
};

TEST_P(Sizes, BiasCorrectedMethodsAgreeWhereTheyShould) {
  const json semi_atc{{"eta", "1/16"}, {"W", "W"}};
  expect_same("exact_diffusion", {{"eta", "1/16"}, {"W", "Wlazy"}}, "d2",
              {{"eta", "1/16"}, {"W", "Wlazy"}});
  expect_same("led", {{"alpha", "1/16"}, {"beta", 1}, {"tau", 1}, {"W", "Wlazy"}}, "d2",
              {{"eta", "1/16"}, {"W", "Wlazy"}});
  expect_same("kgt", {{"eta_c", "1/16"}, {"eta_s", 1}, {"K", 1}, {"W", "W"}}, "gt_semi_atc",
              semi_atc);
  expect_same("lsgt", {{"eta", "1/16"}, {"K", 1}, {"W", "W"}}, "gt_semi_atc", semi_atc);
  expect_same("momentum_tracking", {{"eta", "1/16"}, {"beta", 0}, {"W", "W"}}, "gt_diging",
              semi_atc);
}

TEST_P(Sizes, DirectedMethodsAreTheUndirectedOnesWithTheirMatrix) {
  const json semi_atc{{"eta", "1/16"}, {"W", "W"}};
  expect_same("push_pull", {{"eta", "1/16"}, {"R", "W"}, {"C", "W"}}, "gt_semi_atc", semi_atc);
  expect_same("push_diging", {{"eta", "1/16"}, {"C", "W"}}, "gt_semi_atc", semi_atc);
  expect_same("ab", {{"eta", "1/16"}, {"R", "W"}, {"C", "W"}}, "gt_diging", semi_atc);
  expect_same("sgp", {{"eta", "1/16"}, {"C", "W"}}, "dpsgd_atc", semi_atc);
}

TEST_P(Sizes, LocalStepsAgreeWhereTheyShould) {
  const json local{{"eta", "1/32"}, {"H", 4}};
  expect_same("slowmo", {{"gamma", "1/32"}, {"H", 4}, {"alpha", 1}, {"beta", 0}}, "local_sgd",
              local, 3, 12);
  expect_same("diloco", {{"gamma", "1/32"}, {"H", 4}, {"eta_out", 1}, {"mu", 0}}, "local_sgd",
              local, 3, 12);
  expect_same("slowmo", {{"gamma", "1/32"}, {"H", 1}, {"alpha", 1}, {"beta", "1/2"}},
              "allreduce_heavyball", {{"eta", "1/32"}, {"mu", "1/2"}});
  expect_same("local_sgd", {{"eta", "1/32"}, {"H", 1}}, "allreduce_gd", {{"eta", "1/32"}});
  expect_same("scaffold", {{"eta_l", "1/32"}, {"K", 1}, {"eta_g", 1}}, "allreduce_gd",
              {{"eta", "1/32"}});
}

TEST_P(Sizes, MomentumOfZeroIsNone) {
  const json plain{{"eta", "1/32"}, {"W", "W"}};
  expect_same("dpsgdm_atc", {{"eta", "1/32"}, {"mu", 0}, {"W", "W"}}, "dpsgd_atc", plain);
  expect_same("qg_dsgdm", {{"eta", "1/32"}, {"mu", 0}, {"W", "W"}}, "dpsgd_atc", plain);
  expect_same("decentlam", {{"eta", "1/32"}, {"beta", 0}, {"W", "W"}}, "dpsgd_atc", plain);
}

/// In one dimension top-1 leaves nothing out.
TEST_P(Sizes, ChocoWithoutCompressionMixesMoreSlowly) {
  json file = problem_of(GetParam(), 1);
  const json choco =
      run(file, "choco_sgd_top1", {{"eta", "1/32"}, {"gamma", "1/2"}, {"W", "W"}}, 12);
  const json lazy = run(file, "dpsgd_atc", {{"eta", "1/32"}, {"W", "Wlazy"}}, 12);
  EXPECT_LE(distance(choco.at("x"), lazy.at("x")), 1e-12);
}

TEST_P(Sizes, DiffusionIsAdaptThenCombineFromMixedStarts) {
  json file = file_;
  const json parameters{{"eta", "1/16"}, {"W", "W"}};
  const Rows diffused = run(file, "diffusion_cta", parameters, 12).at("x").get<Rows>();
  const auto w = file.at("matrices").at("W").get<Rows>();
  const auto mixed = [&](const Rows& rows) {
    Rows result(rows.size(), std::vector<double>(rows.front().size(), 0.0));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t j = 0; j < rows.size(); ++j) {
        for (std::size_t k = 0; k < rows[j].size(); ++k) result[i][k] += w[i][j] * rows[j][k];
      }
    }
    return result;
  };
  file["problem"]["x0"] = mixed(file["problem"]["x0"].get<Rows>());
  EXPECT_LE(distance(run(file, "dpsgd_atc", parameters, 12).at("x"), mixed(diffused)), 1e-12);
}

TEST_P(Sizes, TrackersAndWeightsKeepTheirSums) {
  const auto expect_sums = [&](const json& record, const char* left, const char* right,
                               const std::string& method) {
    const std::vector<double> a = sum_of(record.at(left));
    const std::vector<double> b =
        *right == '\0' ? std::vector<double>(a.size(), 0.0) : sum_of(record.at(right));
    for (std::size_t k = 0; k < a.size(); ++k) EXPECT_NEAR(a[k], b[k], 1e-12) << method;
  };
  const json undirected{{"eta", "1/16"}, {"W", "W"}};
  const json directed{{"eta", "1/32"}, {"R", "R"}, {"C", "C"}};
  for (const std::string name : {"gt_diging", "gt_semi_atc", "gt_atc"}) {
    expect_sums(run(file_, name, undirected, 20), "y", "g", name);
  }
  expect_sums(run(file_, "lsgt", {{"eta", "1/64"}, {"K", 4}, {"W", "W"}}, 20), "y", "g", "lsgt");
  for (const std::string name : {"push_diging", "ab", "push_pull"}) {
    const json record = run(file_, name, directed, 20);
    expect_sums(record, "y", "g", name);
    if (name != "push_diging") continue;
    double weights = 0.0;
    for (const double weight : record.at("w")) weights += weight;
    EXPECT_NEAR(weights, GetParam(), 1e-12);
  }
  expect_sums(run(file_, "kgt", {{"eta_c", "1/64"}, {"eta_s", 1}, {"K", 4}, {"W", "W"}}, 20), "c",
              "", "kgt");
  expect_sums(run(file_, "momentum_tracking", {{"eta", "1/64"}, {"beta", "1/2"}, {"W", "W"}}, 20),
              "c", "", "momentum_tracking");
  expect_sums(
      run(file_, "led", {{"alpha", "1/32"}, {"beta", "1/4"}, {"tau", 4}, {"W", "Wlazy"}}, 20), "y",
      "", "led");
  expect_sums(run(file_, "scaffold", {{"eta_l", "1/32"}, {"K", 4}, {"eta_g", "1/2"}}, 20), "ci",
              "c", "scaffold");
}

TEST_P(Sizes, ExactMethodsReachTheMinimizer) {
  const auto expect_exact = [&](const std::string& name, const json& parameters) {
    const json record = run(file_, name, parameters, 900);
    EXPECT_LT(record.at("dist_to_opt").get<double>(), 1e-8) << name;
    EXPECT_LT(record.at("consensus_rms").get<double>(), 1e-8) << name;
  };
  expect_exact("extra", {{"eta", "1/16"}, {"W", "W"}});
  expect_exact("exact_diffusion", {{"eta", "1/16"}, {"W", "Wlazy"}});
  expect_exact("led", {{"alpha", "1/32"}, {"beta", "1/4"}, {"tau", 4}, {"W", "Wlazy"}});
  expect_exact("kgt", {{"eta_c", "1/64"}, {"eta_s", "1/2"}, {"K", 4}, {"W", "W"}});
  expect_exact("momentum_tracking", {{"eta", "1/64"}, {"beta", "1/2"}, {"W", "W"}});
  expect_exact("scaffold", {{"eta_l", "1/32"}, {"K", 4}, {"eta_g", "1/2"}});
  expect_exact("push_diging", {{"eta", "1/32"}, {"C", "C"}});
  expect_exact("push_pull", {{"eta", "1/32"}, {"R", "R"}, {"C", "C"}});
}

INSTANTIATE_TEST_SUITE_P(Workers, Sizes, testing::Values(1, 2, 3, 5, 7),
                         testing::PrintToStringParamName());

/// The two mixings of a step are of the same round, so that both go through all of them. Model and
/// tracker that took turns would each see one of these matchings only.
TEST(ChangingTopologies, MixModelAndTrackerInEveryRound) {
  json file = problem_of(4);
  file["matrices"]["P_one_peer"] = {topology::average_within(4, {{0, 1}, {2, 3}}).rows(),
                                    topology::average_within(4, {{0, 2}, {1, 3}}).rows()};
  for (const std::string name : {"gt_atc", "gt_semi_atc"}) {
    const json record = run(file, name, {{"eta", "1/16"}, {"W", "P_(k mod 2)"}}, 400);
    EXPECT_LT(record.at("dist_to_opt").get<double>(), 1e-8) << name;
    EXPECT_LT(record.at("consensus_rms").get<double>(), 1e-8) << name;
  }
}

/// With equal weights every rank's W times the public copies is the same.
TEST(CompressedSteps, ThatDoNotCommunicateSendNothing) {
  test::on_ranks(3, [](transport::Group& group) {
    std::vector<double> x{1.0 + group.rank(), -2.0, 0.5 * group.rank(), 3.0};
    std::vector<double> gradient(x.size());
    const auto update = [&] {
      for (std::size_t k = 0; k < x.size(); ++k) x[k] -= 0.1 * gradient[k];
    };
    PlainPort port({std::span<double>(x)}, {std::span<double>(gradient)}, update);
    StagedWorker worker(
        group, std::make_shared<algorithm::ChocoSGD>(0.5), topology::ring(3), port,
        {.timeout = std::chrono::seconds(30), .codec = std::make_shared<kernels::TopK>(0.25)});
    for (int step = 0; step < 12; ++step) {
      const bool communicate = step % 3 == 2;
      worker.prepare({.communicates = communicate});
      for (std::size_t k = 0; k < x.size(); ++k) gradient[k] = x[k] - group.rank();
      worker.finish({.communicates = communicate});
    }
    const std::span<double> mixed = worker.state()[1].vector.as<double>();
    const json mine = std::vector<double>(mixed.begin(), mixed.end());
    for (const std::string& theirs : group.all_gather(mine.dump())) {
      EXPECT_LE(distance(json::array({json::parse(theirs)}), json::array({mine})), 1e-12);
    }
    EXPECT_GT(std::abs(mixed[0]) + std::abs(mixed[3]), 0.1) << "nothing was ever sent";
  });
}

/// The reference with a ring of self weight 0.2, whose smallest eigenvalue is -0.6.
TEST(Stability, SomeMethodsDoNotBearNegativeEigenvalues) {
  json file = ReferenceProblem(GOSSIP_TEST_REFERENCE_DIR "/quadratic_n8.json").json();
  Rows w(8, std::vector<double>(8, 0.0));
  for (std::size_t i = 0; i < 8; ++i) {
    w[i][i] = 0.2;
    w[i][(i + 1) % 8] = w[i][(i + 7) % 8] = 0.4;
  }
  file["matrices"]["W"] = w;
  const auto error_after = [&](const std::string& name, const std::string& matrix,
                               std::int64_t iterations) {
    const json x = run(file, name, {{"eta", "1/16"}, {"W", matrix}}, iterations).at("x");
    const json best = Rows(8, ReferenceProblem(file, "").minimizer());
    return distance(x, best);
  };
  EXPECT_NEAR(error_after("d2", "W", 20), 2.3e2, 0.05e2);
  EXPECT_NEAR(error_after("d2", "W", 80), 7.8e12, 0.05e12);
  EXPECT_NEAR(error_after("gt_diging", "W", 80), 56.5, 0.05);
  for (const std::string name : {"gt_semi_atc", "extra"}) {
    EXPECT_LT(error_after(name, "W", 400), 1e-9) << name;
  }
  EXPECT_LT(error_after("exact_diffusion", "Wlazy", 400), 1e-9);
}

}  // namespace
}  // namespace gossip::engine
