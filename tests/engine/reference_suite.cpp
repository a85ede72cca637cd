// SPDX-License-Identifier: Apache-2.0
// The iterates of all algorithms of the reference on 8 ranks: see transport/on_ranks.h.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "reference/algorithms.h"
#include "support/expect_throw.h"
#include "transport/on_ranks.h"

namespace gossip::engine {
namespace {

using test::ReferenceProblem;
using transport::Group;

constexpr double kTolerance = 1e-10;

const ReferenceProblem& problem() {
  static const ReferenceProblem kProblem(GOSSIP_TEST_REFERENCE_DIR "/quadratic_n8.json");
  return kProblem;
}

/// Numbers, rows and matrices alike.
void expect_near(const nlohmann::json& ours, const nlohmann::json& expected,
                 const std::string& what) {
  if (expected.is_number()) {
    ASSERT_TRUE(ours.is_number()) << what;
    EXPECT_NEAR(ours.get<double>(), expected.get<double>(), kTolerance) << what;
    return;
  }
  ASSERT_EQ(ours.size(), expected.size()) << what;
  for (const auto& [key, value] : expected.items()) {
    const nlohmann::json::json_pointer place("/" + key);
    ASSERT_TRUE(ours.contains(place)) << what << " lacks " << key;
    expect_near(ours.at(place), value, what + "/" + key);
  }
}

/// `entry`: parameters and iterates, as in a problem's file.
void expect_iterates(const ReferenceProblem& problem, const std::string& name,
                     const nlohmann::json& entry) {
  test::on_ranks(8, [&](Group& group) {
    const nlohmann::json& expected = entry.at("iterates");
    std::vector<std::int64_t> iterations;
    for (const auto& [iteration, arrays] : expected.items()) {
      iterations.push_back(std::stoll(iteration));
    }
    std::ranges::sort(iterations);
    expect_near(test::run_algorithm(problem, name, group, iterations), expected, name);
  });
}

class Reference : public testing::TestWithParam<std::string> {};

TEST_P(Reference, IteratesAgree) {
  expect_iterates(problem(), GetParam(), problem().json().at("algorithms").at(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Algorithms, Reference, testing::ValuesIn(problem().algorithms()),
                         [](const auto& tested) { return tested.param; });

TEST(ReferenceProblems, PeriodsOfHierarchicalLocalSGDNeedNotDivideEachOther) {
  const std::string name = "hierarchical_local_sgd";
  std::ifstream file(GOSSIP_TEST_REFERENCE_DIR "/hierarchical_local_sgd_2_5.json");
  const nlohmann::json entry = nlohmann::json::parse(file);
  nlohmann::json json = problem().json();
  json.at("algorithms").at(name) = entry;
  expect_iterates(ReferenceProblem(json, "periods 2 and 5"), name, entry);
}

TEST(ReferenceProblems, NameTheFileAndWhatItHasWrong) {
  using nlohmann::json;
  const auto refused = [](const std::string& place, const json& value, bool is_common = false) {
    json wrong = problem().json();
    wrong.at(json::json_pointer(place)) = value;
    test::expect_throw<Error>(
        [&] {
          const ReferenceProblem read(wrong, "file.json");
          static_cast<void>(read.start(7, is_common));
          static_cast<void>(read.matrices("dpsgd_atc", "W"));
        },
        {"file.json"});
  };
  const json rows = problem().json().at("problem").at("x0");
  json fewer = rows;
  fewer.erase(7);
  json longer = rows;
  longer.at(3).push_back(1.0);
  for (const json& x0 : {fewer, longer, json("text"), json{{"text"}}}) refused("/problem/x0", x0);
  refused("/problem/x0_common", longer.at(3), true);
  refused("/problem/b", longer);
  for (const std::string place : {"/problem/A/0/1/2", "/problem/b/1", "/problem/x0/7/0",
                                  "/matrices/W/0", "/algorithms/dpsgd_atc"}) {
    refused(place, "text");
  }
}

TEST(ReferenceProblems, HaveAllAlgorithmsOfTheLibrary) {
  EXPECT_EQ(problem().algorithms(), test::known_algorithms());
  EXPECT_EQ(test::known_algorithms().size(), 38U);
}

}  // namespace
}  // namespace gossip::engine
