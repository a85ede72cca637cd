// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <libgossip/base/random.h>
#include <libgossip/policy/renormalize.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

#include "policy_test_support.h"

namespace gossip::policy {
namespace {

using test::expect_throw;
using topology::Neighbor;
using topology::Neighborhood;
using topology::Schedule;

using Rows = std::vector<std::vector<double>>;
using Vector = std::vector<double>;

/// arrived[i][j]: receiver i accepted sender j. [ranks][ranks]
using Arrived = std::vector<std::vector<bool>>;

enum class Rule { kSelf, kProportional, kAgreed, kPushed };

Neighborhood neighborhood_of(const Schedule& schedule, Rank rank) {
  Neighborhood result;
  schedule.neighborhood(0, rank, result);
  return result;
}

bool has_arrived(const Arrived& arrived, Rank receiver, Rank sender) {
  return arrived[static_cast<std::size_t>(receiver)][static_cast<std::size_t>(sender)];
}

Mask accepted_of(const Schedule& schedule, const Arrived& arrived, Rank rank) {
  Mask mask;
  for (const Neighbor& sender : neighborhood_of(schedule, rank).in) {
    mask.push_back(has_arrived(arrived, rank, sender.rank));
  }
  return mask;
}

/// What the neighbors say in the words of their headers.
Mask accepted_by(const Schedule& schedule, const Arrived& arrived, Rank rank) {
  Mask mask;
  for (const Neighbor& receiver : neighborhood_of(schedule, rank).out) {
    const std::uint64_t word = to_word(accepted_of(schedule, arrived, receiver.rank));
    mask.push_back(contains(word, neighborhood_of(schedule, receiver.rank).in, rank));
  }
  return mask;
}

/// What one rank does by the rule, from what it and its neighbors know.
Neighborhood closed(const Schedule& schedule, const Arrived& arrived, Rank rank, Rule rule) {
  Neighborhood result = neighborhood_of(schedule, rank);
  const Mask accepted = accepted_of(schedule, arrived, rank);
  const Mask by = accepted_by(schedule, arrived, rank);
  Mask used;
  switch (rule) {
    case Rule::kSelf:
      renormalize_self(result, accepted);
      break;
    case Rule::kProportional:
      renormalize_proportional(result, accepted);
      break;
    case Rule::kAgreed:
      find_agreed(accepted, by, used);
      renormalize_agreed(result, used);
      break;
    case Rule::kPushed:
      renormalize_pushed(result, accepted, by);
      break;
  }
  return result;
}

/// The whole matrix, from what receivers give to senders.
Rows matrix_of(const Schedule& schedule, const Arrived& arrived, Rule rule) {
  const auto size = static_cast<std::size_t>(schedule.size());
  Rows rows(size, Vector(size, 0.0));
  for (std::size_t i = 0; i < size; ++i) {
    const Neighborhood own = closed(schedule, arrived, static_cast<Rank>(i), rule);
    rows[i][i] = own.self_weight;
    for (const Neighbor& sender : own.in) {
      rows[i][static_cast<std::size_t>(sender.rank)] = sender.weight;
    }
  }
  return rows;
}

double sum(const Vector& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

Vector mixed(const Rows& matrix, const Vector& x) {
  Vector result;
  for (const Vector& row : matrix) result.push_back(dot(row, x));
  return result;
}

Rows transposed(const Rows& rows) {
  Rows result(rows.size(), Vector(rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) result[j][i] = rows[i][j];
  }
  return result;
}

/// The left eigenvector of the eigenvalue 1, with the sum 1: what each rank's value counts in the
/// end if the matrix is repeated.
Vector perron(const Rows& matrix) {
  const Rows columns = transposed(matrix);
  Vector result(matrix.size(), 1.0 / static_cast<double>(matrix.size()));
  for (int round = 0; round < 2000; ++round) result = mixed(columns, result);
  return result;
}

void expect_near(const Vector& values, const Vector& expected, double tolerance = 1e-12) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t k = 0; k < values.size(); ++k) {
    EXPECT_NEAR(values[k], expected[k], tolerance) << k;
  }
}

void expect_near(const Rows& matrix, const Rows& expected) {
  ASSERT_EQ(matrix.size(), expected.size());
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    SCOPED_TRACE("row " + std::to_string(i));
    expect_near(matrix[i], expected[i]);
  }
}

/// An example with an independent implementation's values: a ring of six with a chord, Metropolis
/// weights, and three values that came late.
class RenormalizedExample : public testing::Test {
 protected:
  const Schedule schedule_{topology::Graph::undirected(
      6, {{0, 1}, {0, 5}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {0, 3}}, "example")};
  const Arrived arrived_{{0, 1, 0, 0, 0, 1}, {1, 0, 1, 0, 0, 0}, {0, 1, 0, 0, 0, 0},
                         {1, 0, 1, 0, 1, 0}, {0, 0, 0, 1, 0, 1}, {0, 0, 0, 0, 1, 0}};
  const Vector x_{0.0, 0.25, 1.0, 2.25, 4.0, 6.25};

  [[nodiscard]] Rows matrix(Rule rule) const { return matrix_of(schedule_, arrived_, rule); }
  [[nodiscard]] double mean_after(Rule rule) const { return sum(mixed(matrix(rule), x_)) / 6.0; }
};

TEST_F(RenormalizedExample, SelfKeepsTheWeightsOfOthers) {
  const Rows matrix = this->matrix(Rule::kSelf);

  expect_near(matrix, {{1.0 / 2, 1.0 / 4, 0, 0, 0, 1.0 / 4},
                       {1.0 / 4, 5.0 / 12, 1.0 / 3, 0, 0, 0},
                       {0, 1.0 / 3, 2.0 / 3, 0, 0, 0},
                       {1.0 / 4, 0, 1.0 / 4, 1.0 / 4, 1.0 / 4, 0},
                       {0, 0, 0, 1.0 / 4, 5.0 / 12, 1.0 / 3},
                       {0, 0, 0, 0, 1.0 / 3, 2.0 / 3}});
  expect_near(mixed(matrix, x_), {1.625, 0.4375, 0.75, 1.8125, 4.3125, 5.5});
  EXPECT_NEAR(mean_after(Rule::kSelf), 2.40625, 1e-12) << "2.2917 before";
  expect_near(perron(matrix), {0.11594202898550686, 0.17391304347826075, 0.21739130434782597,
                               0.057971014492753506, 0.17391304347826092, 0.2608695652173915});
  EXPECT_NEAR(dot(perron(matrix), x_), 2.717391304347827, 1e-12);
}

TEST_F(RenormalizedExample, ProportionalSharesWhatIsMissing) {
  const Rows matrix = this->matrix(Rule::kProportional);

  expect_near(matrix, {{1.0 / 3, 1.0 / 3, 0, 0, 0, 1.0 / 3},
                       {1.0 / 4, 5.0 / 12, 1.0 / 3, 0, 0, 0},
                       {0, 4.0 / 9, 5.0 / 9, 0, 0, 0},
                       {1.0 / 4, 0, 1.0 / 4, 1.0 / 4, 1.0 / 4, 0},
                       {0, 0, 0, 1.0 / 4, 5.0 / 12, 1.0 / 3},
                       {0, 0, 0, 0, 4.0 / 9, 5.0 / 9}});
  expect_near(mixed(matrix, x_), {13.0 / 6, 0.4375, 2.0 / 3, 1.8125, 4.3125, 5.25});
  EXPECT_NEAR(mean_after(Rule::kProportional), 2.440972222222222, 1e-12) << "2.2917 before";
  expect_near(perron(matrix), {0.10212765957446794, 0.20425531914893635, 0.1914893617021278,
                               0.06808510638297854, 0.20425531914893608, 0.22978723404255316});
  EXPECT_NEAR(dot(perron(matrix), x_), 2.648936170212765, 1e-12);
}

TEST_F(RenormalizedExample, AgreedKeepsTheMean) {
  const Rows matrix = this->matrix(Rule::kAgreed);

  expect_near(matrix, {{3.0 / 4, 1.0 / 4, 0, 0, 0, 0},
                       {1.0 / 4, 5.0 / 12, 1.0 / 3, 0, 0, 0},
                       {0, 1.0 / 3, 2.0 / 3, 0, 0, 0},
                       {0, 0, 0, 3.0 / 4, 1.0 / 4, 0},
                       {0, 0, 0, 1.0 / 4, 5.0 / 12, 1.0 / 3},
                       {0, 0, 0, 0, 1.0 / 3, 2.0 / 3}});
  expect_near(mixed(matrix, x_), {0.0625, 0.4375, 0.75, 2.6875, 4.3125, 5.5});
  EXPECT_NEAR(mean_after(Rule::kAgreed), sum(x_) / 6.0, 1e-12);
}

TEST_F(RenormalizedExample, PushedKeepsTheSum) {
  const Rows matrix = this->matrix(Rule::kPushed);

  expect_near(matrix, {{1.0 / 2, 1.0 / 4, 0, 0, 0, 1.0 / 4},
                       {1.0 / 4, 5.0 / 12, 1.0 / 3, 0, 0, 0},
                       {0, 1.0 / 3, 5.0 / 12, 0, 0, 0},
                       {1.0 / 4, 0, 1.0 / 4, 3.0 / 4, 1.0 / 4, 0},
                       {0, 0, 0, 1.0 / 4, 5.0 / 12, 1.0 / 3},
                       {0, 0, 0, 0, 1.0 / 3, 5.0 / 12}});
  expect_near(mixed(matrix, x_), {1.625, 0.4375, 0.5, 2.9375, 4.3125, 3.9375});
  EXPECT_NEAR(mean_after(Rule::kPushed), sum(x_) / 6.0, 1e-12);
}

TEST_F(RenormalizedExample, ARankThatIsNeverHeardCountsNothing) {
  Arrived all_but_rank_0(6, std::vector<bool>(6, true));
  for (std::vector<bool>& row : all_but_rank_0) row[0] = false;

  const Rows matrix = matrix_of(schedule_, all_but_rank_0, Rule::kSelf);

  expect_near(perron(matrix), {0.0, 0.2, 0.2, 0.2, 0.2, 0.2});
  EXPECT_NEAR(dot(perron(matrix), x_), 2.75, 1e-12);
}

/// Accepts each value with the probability `share`.
Arrived random_arrived(int size, double share, std::uint64_t seed) {
  SplitMix64 random(seed);
  Arrived arrived(static_cast<std::size_t>(size));
  for (std::vector<bool>& row : arrived) {
    for (int j = 0; j < size; ++j) row.push_back(random.unit() < share);
  }
  return arrived;
}

/// Calls `check(schedule, arrived)` for graphs, shares of the values in time and seeds.
template <class Check>
void for_many_rounds(Check&& check) {
  for (const topology::Graph& graph :
       {topology::ring(8), topology::star(8), topology::grid(12), topology::complete(5),
        topology::path(2), topology::ring(1), topology::symmetric_exponential(16)}) {
    const Schedule schedule(graph);
    for (const double share : {0.0, 0.3, 0.8, 1.0}) {
      for (std::uint64_t seed = 0; seed < 5; ++seed) {
        SCOPED_TRACE(graph.name() + ", share " + std::to_string(share));
        check(schedule, random_arrived(graph.size(), share, seed));
      }
    }
  }
}

void expect_stochastic_rows(const Rows& rows) {
  for (const Vector& row : rows) {
    EXPECT_NEAR(sum(row), 1.0, 1e-15);
    for (const double weight : row) EXPECT_GE(weight, 0.0);
  }
}

Vector some_values(std::size_t size) {
  Vector values;
  for (std::size_t i = 0; i < size; ++i) values.push_back(std::sin(1.0 + static_cast<double>(i)));
  return values;
}

TEST(Renormalize, RowsSumToOne) {
  for_many_rounds([](const Schedule& schedule, const Arrived& arrived) {
    for (const Rule rule : {Rule::kSelf, Rule::kProportional, Rule::kAgreed}) {
      expect_stochastic_rows(matrix_of(schedule, arrived, rule));
    }
  });
}

TEST(Renormalize, AgreedIsSymmetricAndKeepsTheMean) {
  for_many_rounds([](const Schedule& schedule, const Arrived& arrived) {
    const Rows matrix = matrix_of(schedule, arrived, Rule::kAgreed);
    const Vector values = some_values(matrix.size());

    EXPECT_EQ(matrix, transposed(matrix)) << "to the last bit";
    expect_stochastic_rows(transposed(matrix));
    EXPECT_NEAR(sum(mixed(matrix, values)), sum(values), 1e-14);
  });
}

TEST(Renormalize, PushedKeepsTheSumOfValuesAndWeights) {
  for_many_rounds([](const Schedule& schedule, const Arrived& arrived) {
    const Rows matrix = matrix_of(schedule, arrived, Rule::kPushed);
    const Vector values = some_values(matrix.size());

    expect_stochastic_rows(transposed(matrix));
    EXPECT_NEAR(sum(mixed(matrix, values)), sum(values), 1e-14);
  });
}

TEST(Renormalize, PushedKeepsTheSumOverDirectedEdgesToo) {
  const Schedule schedule = topology::uniform_out_degree(
      topology::Graph::directed(4, {{0, 1}, {1, 2}, {2, 0}, {2, 3}, {3, 0}, {0, 2}}));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Rows matrix = matrix_of(schedule, random_arrived(4, 0.5, seed), Rule::kPushed);

    expect_stochastic_rows(transposed(matrix));
  }
}

TEST(Renormalize, ChangesNothingWhenAllHaveCome) {
  for_many_rounds([](const Schedule& schedule, const Arrived& arrived) {
    const Arrived all(arrived.size(), std::vector<bool>(arrived.size(), true));
    const Rows whole = schedule.matrix(0).rows();
    for (const Rule rule : {Rule::kSelf, Rule::kProportional, Rule::kAgreed, Rule::kPushed}) {
      expect_near(matrix_of(schedule, all, rule), whole);
    }
  });
}

TEST(Renormalize, BothEndsOfAnEdgeKnowWhetherItIsUsed) {
  for_many_rounds([](const Schedule& schedule, const Arrived& arrived) {
    for (Rank rank = 0; rank < schedule.size(); ++rank) {
      const Neighborhood own = closed(schedule, arrived, rank, Rule::kAgreed);

      EXPECT_TRUE(std::ranges::equal(own.in, own.out, {}, &Neighbor::rank, &Neighbor::rank));
      for (const Neighbor& neighbor : own.in) {
        EXPECT_TRUE(has_arrived(arrived, rank, neighbor.rank));
        EXPECT_TRUE(has_arrived(arrived, neighbor.rank, rank));
      }
    }
  });
}

TEST(Renormalize, ProportionalWithNobodyIsTheOwnValue) {
  Neighborhood own{.self_weight = 0.0, .in = {{1, 0.5}, {2, 0.5}}, .out = {}};

  renormalize_proportional(own, {false, false});

  EXPECT_EQ(own.self_weight, 1.0);
  EXPECT_TRUE(own.in.empty());
}

TEST(Renormalize, ProportionalNeedsASumToDivideBy) {
  Neighborhood own{.self_weight = -0.5, .in = {{1, 0.75}, {2, 0.5}, {3, 0.25}}, .out = {}};

  expect_throw<Error>(
      [&] {
        renormalize_proportional(own, {false, true, false});
      },
      {"sum to 0", "not negative"});
}

TEST(Renormalize, AgreedRefusesWeightsThatAreNotSymmetric) {
  Neighborhood one_way = neighborhood_of(topology::one_peer_exponential(4), 0);
  expect_throw<Error>([&] { renormalize_agreed(one_way, {true}); },
                      {"symmetric", "rank 1 is 0 one way and 0.5 the other", "such as ring"});

  Neighborhood uneven{.self_weight = 0.5, .in = {{3, 0.5}}, .out = {{3, 0.25}}};
  expect_throw<Error>([&] { renormalize_agreed(uneven, {true}); },
                      {"rank 3 is 0.5 one way and 0.25 the other"});
}

TEST(Renormalize, RefusesSetsOfAnotherSize) {
  const Neighborhood whole = neighborhood_of(Schedule(topology::ring(4)), 0);
  Neighborhood own = whole;

  expect_throw<Error>([&] { renormalize_self(own, {true}); }, {"1 neighbors", "with 2"});
  EXPECT_EQ(own.in.size(), whole.in.size());
  expect_throw<Error>(
      [&] {
        renormalize_pushed(own, {true, true}, {true});
      },
      {"1 neighbors", "with 2"});
}

}  // namespace
}  // namespace gossip::policy
