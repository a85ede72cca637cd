// SPDX-License-Identifier: Apache-2.0
// The memory of the methods, as docs/asynchronous.md has it, on every kind of group: see
// transport/on_ranks.h.
#include <algorithm>
#include <memory>
#include <utility>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/engine/one_way/async_gossip_worker.h>
#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::on_ranks;
using transport::Group;

constexpr std::size_t kElements = 200'000;
constexpr double kModelBytes = kElements * sizeof(double);

/// Chunks for exchanges between hosts, in copies of this model.
constexpr double kChunks = 64.0 * 1024 * 1024 / kModelBytes;

class MemoryTest : public testing::TestWithParam<int> {};

/// Copies of the model that a method takes: inside a host, and with `far` neighbors elsewhere.
struct Documented {
  double near;
  double far;
};

/// `worker` has made some steps, so that it has all the memory that it ever takes.
void expect_copies(Group& group, Worker& worker, const Documented& documented) {
  for (int step = 0; step < 5; ++step) {
    worker.prepare();
    worker.finish();
    group.barrier();
  }
  const double copies = static_cast<double>(worker.memory_bytes()) / kModelBytes;
  worker.leave();
  group.barrier();
  if (transport::is_one_host(group)) {
    EXPECT_LE(copies, documented.near + 0.05);
    EXPECT_GE(copies, group.size() == 1 ? 0.0 : documented.near - 0.05);
  } else {
    const bool is_mixed = group.transport().starts_with("shared");  // some hosts have several
    EXPECT_LE(copies, documented.far + (is_mixed ? documented.near : 0.0) + 0.05);
    EXPECT_GE(copies, documented.near - 0.05);
  }
  worker.come_back();
}

TEST_P(MemoryTest, IsWhatTheDocumentationSays) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own(kElements, 1.0);
    PlainPort port({std::span<double>(own)});
    const topology::Graph ring = topology::ring(group.size());
    const auto neighbors = static_cast<double>(ring.out_neighbors(group.rank()).size());
    const auto in_turn = [&](std::unique_ptr<Worker> worker, const Documented& documented) {
      expect_copies(group, *worker, documented);
    };

    const auto in_rounds = [&](std::shared_ptr<const algorithm::Algorithm> method) {
      return std::make_unique<StagedWorker>(group, std::move(method), ring, port);
    };

    in_turn(in_rounds(std::make_shared<algorithm::GossipSGD>()), {1, 1 + neighbors});
    in_turn(in_rounds(std::make_shared<algorithm::PushSumSGD>()), {2, 2 + neighbors});
    in_turn(std::make_unique<OverlapWorker>(group, ring, port), {3, 5});
    in_turn(std::make_unique<AsyncGossipWorker>(group, ring, port), {3, 3 + 2 * neighbors});
    in_turn(std::make_unique<PairWorker>(group, std::make_shared<algorithm::ADPSGD>(), ring, port),
            {1, 1 + kChunks});
    if (group.size() == 1) return;
    in_turn(std::make_unique<PairWorker>(
                group, std::make_shared<algorithm::A2CiD2>(algorithm::a2cid2_constants(ring)), ring,
                port),
            {2, 2 + kChunks});
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, MemoryTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
