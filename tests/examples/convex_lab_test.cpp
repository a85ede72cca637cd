// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/topology/weights.h>

#include "convex_lab/dadao_replay.h"
#include "convex_lab/methods.h"
#include "convex_lab/options.h"
#include "convex_lab/run.h"
#include "convex_lab/stages.h"
#include "support/expect_throw.h"
#include "support/temporary_folder.h"

namespace gossip::examples {
namespace {

using nlohmann::json;
using test::expect_throw;

LabOptions options(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv{"convex_lab"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return parse_lab_options(static_cast<int>(argv.size()), argv.data(), 1, false).value();
}

struct Outcome {
  std::string status;
  LabCounts counts;
};

/// What the lab's loop does, without records.
Outcome run(const std::string& method, const std::vector<std::string>& arguments) {
  const LabOptions of_run = options(arguments);
  const auto problem = make_problem(of_run);
  const auto group = make_lab_group(method, *problem, of_run);
  const std::vector<double> zero(problem->dimension(), 0.0);
  const double first = kernels::squared_distance(std::span<const double>(zero), problem->optimum());
  LabEnd end(of_run);
  for (;;) {
    std::vector<std::span<const double>> models;
    for (Rank worker = 0; worker < problem->num_workers(); ++worker) {
      models.push_back(group->model(worker));
    }
    const LabCounts counts = group->counts();
    const auto status = end.status(counts, error_of(models, problem->optimum(), first).error);
    if (status) return {*status, counts};
    group->advance();
  }
}

/// Means over the seeds 1 to 3.
LabCounts mean_of_dadao(const std::string& topology, const std::string& accuracy,
                        const std::string& safety) {
  LabCounts mean;
  for (const char* seed : {"1", "2", "3"}) {
    const Outcome outcome = run("dadao", {"--topology", topology, "--seed", seed, "--accuracy",
                                          accuracy, "--safety", safety});
    EXPECT_EQ(outcome.status, "reached");
    mean.gradients += outcome.counts.gradients / 3.0;
    mean.communications += outcome.counts.communications / 3.0;
  }
  return mean;
}

struct Row {
  const char* topology;
  const char* accuracy;
  double gradients;
  double communications;
};

// Of another implementation: n = 16, kappa = 10, problem quad.
TEST(ConvexLab, DadaoNeedsWhatTheReferenceNeeds) {
  for (const Row& row : {
           Row{"complete", "1e-6", 5903, 3858},
           Row{"complete", "1e-10", 9352, 6146},
           Row{"star", "1e-6", 5893, 5487},
           Row{"star", "1e-10", 9332, 8735},
           Row{"ring", "1e-6", 5397, 13277},
           Row{"ring", "1e-10", 8591, 21251},
           Row{"line", "1e-6", 5340, 25361},
           Row{"line", "1e-10", 8533, 40723},
           Row{"grid", "1e-10", 8770, 14382},
       }) {
    const LabCounts counts = mean_of_dadao(row.topology, row.accuracy, "1");

    EXPECT_NEAR(counts.gradients, row.gradients, 0.01 * row.gradients) << row.topology;
    EXPECT_NEAR(counts.communications, row.communications, 0.01 * row.communications)
        << row.topology;
  }
}

TEST(ConvexLab, DadaoNeedsFarFewerCommunicationsThanAdomPlusOnARing) {
  const double adom_plus = run("adom-plus", {}).counts.communications;

  EXPECT_EQ(adom_plus, 288304.0);
  EXPECT_GE(adom_plus, 10.0 * mean_of_dadao("ring", "1e-10", "1").communications);
  EXPECT_GE(adom_plus, 6.0 * mean_of_dadao("ring", "1e-10", "2").communications);
}

TEST(ConvexLab, EveryMethodReachesTheOptimum) {
  for (const char* method :
       {"dadao", "gradient-tracking", "adom-plus", "adom-plus-mc", "msda", "continuized",
        "push-pull-device-sampling", "gt-saga", "gt-lsvrg", "centralized"}) {
    EXPECT_EQ(run(method, {"--workers", "8"}).status, "reached") << method;
    if (method == std::string("msda") || method == std::string("continuized")) continue;
    const Outcome logistic =
        run(method, {"--workers", "8", "--problem", "logistic", "--accuracy", "1e-8"});
    EXPECT_EQ(logistic.status, "reached") << method;
  }
}

TEST(ConvexLab, MethodsWithoutCorrectionEndNearTheOptimum) {
  for (const char* method : {"gossip-sgd", "ad-psgd", "a2cid2"}) {
    EXPECT_EQ(run(method, {"--workers", "8"}).status, "stalled") << method;
    // With one minimizer for all there is nothing to correct.
    const Outcome alike = run(method, {"--workers", "8", "--problem", "quadratic",
                                       "--heterogeneity", "0", "--samples", "1"});
    EXPECT_EQ(alike.status, "reached") << method;
  }
}

TEST(ConvexLab, DadaoBearsSlowWorkersAndGraphsThatTakeTurns) {
  const double alone = run("dadao", {}).counts.communications;
  const double slow = run("dadao", {"--slow-rank", "0:10"}).counts.communications;
  const double changing =
      run("dadao", {"--topology", "ring,star", "--graph-period", "2"}).counts.communications;

  EXPECT_NEAR(slow, alone, 0.1 * alone);
  EXPECT_NEAR(changing, alone, 0.1 * alone);  // the ring is the worse one
}

TEST(ConvexLab, DadaoDivergesBelowTheLeastRateAndTheLabSaysSo) {
  const std::vector<std::string> arguments{"--safety", "0.7", "--bear-divergence"};

  EXPECT_EQ(run("dadao", arguments).status, "diverged");

  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "run.jsonl").string();
  const LabOptions of_run = options(arguments);
  LabRecord record(path);
  run_in_virtual_time("dadao", *make_problem(of_run), of_run, record);
  std::ifstream file(path);
  std::string line;
  std::string last;
  while (std::getline(file, line)) last = line;
  EXPECT_THAT(json::parse(last).at("remark").get<std::string>(),
              testing::HasSubstr("it planned 27.79 events per unit of time"));
}

TEST(ConvexLab, RecordsAnErrorOfZero) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "run.jsonl").string();
  LabRecord record(path);
  record.start("exact", nlohmann::ordered_json::object());
  record.note({}, {.error = 0.0, .consensus = 0.0});
  record.end("reached");
  std::ifstream file(path);
  std::string line;
  std::string last;
  while (std::getline(file, line)) last = line;
  const json reached = json::parse(last).at("reached");
  EXPECT_EQ(reached.front().at("accuracy"), 0.1);
  EXPECT_LT(reached.back().at("accuracy").get<double>(), 1e-300);
}

TEST(ConvexLab, ReadsNumbersWholeOrRefusesThemWithTheirRange) {
  const std::vector<std::vector<std::string>> cases{
      {"--seed", "18446744073709551616", "between 0 and 18446744073709551615"},
      {"--seed", "-1", "between 0 and 18446744073709551615"},
      {"--seed", "0x10", "a whole number"},
      {"--workers", "99999999999", "between -2147483648 and 2147483647"},
      {"--workers", "8x", "a whole number"},
      {"--kappa", "1e400", "a number between"},
      {"--kappa", "nan", "a number between"},
      {"--mu", "1,5", "a number between"},
      {"--accuracy", "", "a number between"},
  };
  for (const auto& one : cases) {
    expect_throw<Error>(
        [&] {
          static_cast<void>(options({one[0], one[1]}));
        },
        {one[0], "'" + one[1] + "' is not", one[2]});
  }
  expect_throw<Error>(
      [&] {
        static_cast<void>(options({"--events", "1,2x"}));
      },
      {"--events", "'2x' is not a whole number"});
  EXPECT_EQ(options({"--workers", "010"}).workers, 10);
  EXPECT_EQ(options({"--seed", "18446744073709551615"}).seed,
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_THAT(options({"--events", "1,20"}).events, testing::ElementsAre(1, 20));
}

TEST(ConvexLab, RefusesWhatCannotBeRight) {
  const auto refuses = [](const std::vector<std::string>& arguments,
                          const std::vector<std::string>& texts) {
    expect_throw<Error>(
        [&] {
          const LabOptions of_run = options(arguments);
          const auto problem = make_problem(of_run);
          static_cast<void>(make_lab_group(of_run.methods.front(), *problem, of_run));
        },
        texts);
  };
  refuses({"--mu", "0"}, {"--mu is 0", "positive"});
  refuses({"--mu", "3", "--L", "2"}, {"mu is 3", "L is 2"});
  refuses({"--safety", "0.7"}, {"--safety is 0.7", "diverges"});
  refuses({"--method", "dada"}, {"'dada'", "Did you mean 'dadao'"});
  refuses({"--topology", "rnig"}, {"'rnig'", "Did you mean 'ring'"});
  refuses({"--topology", "directed-ring"}, {"directed-ring", "directed"});
  refuses({"--problem", "qad"}, {"'qad'", "Did you mean 'quad'"});
  refuses({"--problem", "quad:3"}, {"'quad'", "colon"});
  refuses({"--problem", "fashion-mnist:1"}, {"'1'", "pair of classes"});
  refuses({"--problem", "fashion-mnist:1,99999999999"}, {"pair of classes"});
  refuses({"--problem", "libsvm"}, {"libsvm:FILE"});
  refuses({"--dimension", "18446744073709551615"},
          {"--dimension 18446744073709551615", "268435456"});
  refuses({"--slow-rank", "1:1e999"}, {"'1:1e999'", "between 1 and"});
  refuses({"--workers", "1"}, {"--workers is 1"});
  refuses({"--workers", "2000000000"}, {"--workers is 2000000000", "between 2 and 16384"});
  refuses({"--slow-rank", "16:2"}, {"'16:2'", "below 16"});
  refuses({"--slow-rank", "1:0.1"}, {"'1:0.1'", "between 1 and"});
  refuses({"--problem", "logistic", "--method", "msda"}, {"conjugates", "quadratic"});
  refuses({"--topology", "ring,star", "--method", "msda"}, {"msda", "one topology"});
  refuses({"--topology", "ring,star", "--graph-period", "1e300"}, {"--graph-period is 1e+300"});
  refuses({"--topology", "ring,star", "--graph-period", "1e-300"}, {"--graph-period is 1e-300"});
}

TEST(ConvexLab, GraphsTakeTurnsOfAsManyRoundsAsTheirPeriodSays) {
  for (const std::int64_t period : {1, 3, 1'000'000}) {
    const LabOptions of_run = options(
        {"--workers", "8", "--topology", "ring,star", "--graph-period", std::to_string(period)});
    const auto problem = make_problem(of_run);
    const topology::Schedule schedule =
        make_stage_plan("gradient-tracking", *problem, of_run).matrices.pull;
    const auto ring = topology::metropolis(of_run.graphs[0]).rows();
    const auto star = topology::metropolis(of_run.graphs[1]).rows();

    EXPECT_EQ(schedule.period(), 2 * period);
    for (const std::int64_t round : {std::int64_t{0}, period - 1, 2 * period, 5 * period - 1}) {
      EXPECT_EQ(schedule.matrix(round).rows(), ring) << round;
      EXPECT_EQ(schedule.matrix(round + period).rows(), star) << round;
    }
  }
}

json problem_file() {
  json problem{{"n", 4},
               {"d", 1},
               {"edges", {{0, 1}, {0, 3}, {1, 2}, {2, 3}}},
               {"mu", 1.0},
               {"L", 10.0},
               {"h", {{1.0}, {4.0}, {7.0}, {10.0}}},
               {"c", json::array()},
               {"x0", {{0.5}, {-0.5}, {1.5}, {2.5}}},
               {"start", "zero"}};
  for (int i = 0; i < 4; ++i) problem["c"].push_back({std::cos(1.3 * i)});
  return problem;
}

class Replay : public testing::Test {
 protected:
  [[nodiscard]] nlohmann::ordered_json replay(const json& problem,
                                              std::vector<std::int64_t> events) const {
    return replay(problem.dump(), std::move(events));
  }
  [[nodiscard]] nlohmann::ordered_json replay(const std::string& text,
                                              std::vector<std::int64_t> events) const {
    const std::string path = (folder_.path() / "problem.json").string();
    std::ofstream(path) << text;
    return replay_dadao({.problem = path, .events = std::move(events), .seed = 42});
  }
  void refuses(const json& problem, const std::vector<std::string>& texts) const {
    expect_throw<Error>([&] { static_cast<void>(replay(problem, {1})); }, texts);
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(Replay, RepeatsTheKnownCourse) {
  const auto result = replay(problem_file(), {10, 1000, 5000});

  const auto& after_10 = result.at("10");
  EXPECT_NEAR(after_10.at("t").get<double>(), 0.718102570469598, 1e-12);
  const std::vector<std::pair<const char*, double>> expected{
      {"x", 0.0228339430616832},  {"x_tilde", 0.0950859635416419},
      {"y", -0.0320771100141133}, {"y_tilde", -0.961918061321926},
      {"z", 0.017948132555704},   {"z_tilde", 0.24760428087666}};
  for (const auto& [name, value] : expected) {
    EXPECT_NEAR(after_10.at(name).at(1).at(0).get<double>(), value, 1e-12) << name;
  }
  EXPECT_EQ(result.at("1000").at("gradients"), 617);
  EXPECT_EQ(result.at("1000").at("communications"), 383);
  EXPECT_EQ(result.at("5000").at("gradients"), 3075);
  const std::vector<double> x_5000{-0.508524954497537, -0.508524954443058, -0.508524956824507,
                                   -0.508524953157596};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(result.at("5000").at("x").at(i).at(0).get<double>(), x_5000[i], 1e-12) << i;
  }
  EXPECT_NEAR(result.at("constants").at("rate").get<double>(), std::sqrt(6.0), 1e-12);
}

TEST_F(Replay, StartsWhereTheFileSays) {
  const json problem = problem_file();
  for (const char* start : {"zero", "x0", "x0_in_both"}) {
    json own = problem;
    own["start"] = start;
    const auto result = replay(own, {0}).at("0");
    const bool has_x = start != std::string("zero");
    const json zero{{0.0}, {0.0}, {0.0}, {0.0}};

    EXPECT_EQ(json(result.at("x")), has_x ? own.at("x0") : zero) << start;
    EXPECT_EQ(json(result.at("x_tilde")), start == std::string("x0_in_both") ? own.at("x0") : zero)
        << start;
    EXPECT_EQ(json(result.at("y")), zero) << start;
  }
}

TEST_F(Replay, SaysWhatAFileLacksOrHasWrong) {
  const json good = problem_file();
  for (const auto& [key, value] : good.items()) {
    json lacking = good;
    lacking.erase(key);
    refuses(lacking, {"problem.json", "lacks '" + key + "'"});
  }
  const auto with = [&](const char* key, const json& value) {
    json changed = good;
    changed[key] = value;
    return changed;
  };
  refuses(with("n", 0), {"'n'", "is 0"});
  refuses(with("d", 1.5), {"'d'", "is 1.5"});
  refuses(with("mu", "one"), {"'mu'", "number"});
  refuses(with("mu", 0.0), {"mu is 0"});
  refuses(with("mu", 20.0), {"mu is 20", "L is 10"});
  refuses(with("h", {{1.0}, {2.0}}), {"'h'", "4 rows of 1"});
  refuses(with("c", {{1.0}, {2.0}, {"x"}, {0.0}}), {"Row 2 of 'c'"});
  refuses(with("h", {{1.0}, {4.0}, {7.0}, {11.0}}), {"Row 3 of h", "11"});
  refuses(with("edges", {{0, 1}, {1, 4}}), {"Edge 1", "[1,4]", "0..3"});
  refuses(with("edges", {{0, 1}, {2, 3}}), {"connect"});
  refuses(with("start", "xo"), {"'xo'", "Did you mean 'x0'"});
  expect_throw<Error>([&] { static_cast<void>(replay(std::string("{\"n\": 4,"), {1})); },
                      {"problem.json", "not JSON"});
  expect_throw<Error>([&] { static_cast<void>(replay(std::string("{\"mu\": 1e999}"), {1})); },
                      {"problem.json", "not JSON", "1e999"});
  expect_throw<Error>([] { static_cast<void>(replay_dadao({.problem = "/", .events = {1}})); },
                      {"'/'", "Is a directory"});
  expect_throw<Error>([&] { static_cast<void>(replay(good, {5, 2})); }, {"2 after 5"});
}

}  // namespace
}  // namespace gossip::examples
