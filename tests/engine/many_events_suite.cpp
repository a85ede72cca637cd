// SPDX-License-Identifier: Apache-2.0
// Sums over many pair events, with local updates and pauses in between, on every kind of group.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/pairs/pair_exchange.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::on_ranks;
using test::start_value;
using transport::Group;

/// Of all ranks together: 10^5, or what GOSSIP_TEST_EVENTS says.
std::int64_t num_events() {
  const char* text = std::getenv("GOSSIP_TEST_EVENTS");
  return text != nullptr ? std::stoll(text) : 100'000;
}

constexpr std::size_t kSize = 257;
constexpr std::chrono::seconds kLong{100};

/// As A2CiD2 between hosts: with the full rate, halves that come late would let the state grow.
constexpr double kEtaFactor = 0.5;

double sum_of(const VectorView& vector) {
  double sum = 0.0;
  for (const double value : vector.as<double>()) sum += value;
  return sum;
}

/// Over all vectors of the state of all ranks, each counted with the model that it is relative to.
double total(Group& group, const PairExchange& exchange, int num_vectors) {
  double sum = num_vectors * sum_of(exchange.model()[0]);
  for (int v = 1; v < num_vectors; ++v) sum += sum_of(exchange.state(v)[0]);
  return transport::mean_of(group, sum) * group.size();
}

/// Neighbors on a ring that this rank asks: both of one host, the next one of another.
std::vector<Rank> asked(const Group& group, const std::vector<Rank>& peers) {
  std::vector<Rank> result;
  for (const Rank peer : peers) {
    const bool is_next = peer == (group.rank() + 1) % group.size();
    if (group.shares_memory_with(peer) || (is_next && (group.size() > 2 || group.rank() == 0))) {
      result.push_back(peer);
    }
  }
  return result;
}

void check_sums(Group& group, const std::shared_ptr<const algorithm::PairAlgorithm>& algorithm) {
  const int vectors = algorithm->num_vectors();
  const std::vector<Rank> peers = topology::ring(group.size()).out_neighbors(group.rank());
  PairExchange exchange(
      group, algorithm, {{Dtype::kFloat64, nullptr, kSize}},
      {.peers = peers,
       .elapsed = std::vector<double>(static_cast<std::size_t>(group.size()), 1.0),
       .timeout = kLong});
  const std::span<double> model = exchange.model()[0].as<double>();
  for (std::size_t k = 0; k < kSize; ++k) model[k] = start_value(group.rank(), 0, k);
  const double before = total(group, exchange, vectors);
  exchange.close();

  auto random = SplitMix64::at(5, static_cast<std::uint64_t>(group.rank()));
  const std::vector<Rank> to = asked(group, peers);
  std::vector<std::int64_t> events(to.size(), 0);
  double added = 0.0;
  const std::int64_t events_wanted = num_events();
  const Deadline deadline(kLong);
  while (exchange.counters().gossip_rounds * group.size() < events_wanted && !to.empty()) {
    ASSERT_FALSE(deadline.has_passed());
    for (std::size_t i = 0; i < to.size(); ++i) events[i] += exchange.request(to[i]) ? 1 : 0;
    if (random.below(1000) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (random.below(8) != 0) {
      std::this_thread::yield();
      continue;
    }
    exchange.open();
    const double increment = random.unit() - 0.5;
    for (double& value : model) value += increment;
    added += increment * static_cast<double>(kSize);
    exchange.close();
  }
  exchange.drain();

  const double moved = vectors * transport::mean_of(group, added) * group.size();
  // Relative to what was moved about: each event rounds every element.
  const double scale = static_cast<double>(kSize) * static_cast<double>(vectors * group.size());
  EXPECT_NEAR(total(group, exchange, vectors), before + moved, 1e-12 * scale * 300);
  for (const double value : model) ASSERT_LT(std::abs(value), 1e4);  // it did not grow
  for (std::size_t i = 0; i < to.size(); ++i) EXPECT_GT(events[i], 0) << "edge to " << to[i];
}

class ManyEventsTest : public testing::TestWithParam<int> {};

TEST_P(ManyEventsTest, ADPSGDKeepsTheSum) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() > 1) check_sums(group, std::make_shared<algorithm::ADPSGD>());
  });
}

TEST_P(ManyEventsTest, A2CiD2KeepsTheSumOfBothVectors) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    check_sums(group, std::make_shared<algorithm::A2CiD2>(algorithm::a2cid2_constants(
                          topology::ring(group.size()), 1.0, kEtaFactor)));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, ManyEventsTest, testing::Values(test::rank_counts().back()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
