// SPDX-License-Identifier: Apache-2.0
// After the first rounds or steps nothing is allocated. LocalGroup's barrier() neither.
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>

#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/engine/one_way/async_gossip_worker.h>
#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/transport/local/cluster.h>

#include "engine/engine_test_support.h"
#include "support/thread_ranks.h"

namespace {

std::atomic<long> num_allocations{0};

void* counted(void* memory) {
  ++num_allocations;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(std::malloc(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto to = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(to, (bytes + to - 1) / to * to));
}
// Not inlined: GCC would see free() after an operator new of which it does not see malloc().
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace gossip::engine {
namespace {

/// On all ranks together.
long allocations_of_rounds(const topology::Schedule& schedule, bool closes_as_agreed = false) {
  long count = -1;
  transport::local::Cluster cluster(schedule.size());
  std::barrier all(schedule.size());  // the group's allocates
  test::run_ranks(schedule.size(), [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> doubles(300, 1.0);
    std::vector<float> floats(30, 1.0F);
    Mixer mixer(*group, schedule, {{std::span<double>(doubles), std::span<float>(floats)}},
                std::chrono::seconds(20), nullptr, closes_as_agreed);
    for (std::int64_t round = 0; round < 12; ++round) mixer.mix(round);
    all.arrive_and_wait();
    const long before = num_allocations;
    all.arrive_and_wait();
    for (std::int64_t round = 12; round < 112; ++round) mixer.mix(round);
    all.arrive_and_wait();
    if (rank == 0) count = num_allocations - before;
    all.arrive_and_wait();
  });
  return count;
}

TEST(MixerAllocations, ThereAreNoneAfterTheFirstRounds) {
  EXPECT_EQ(allocations_of_rounds(topology::ring(1)), 0);
  for (const int ranks : {2, 3, 4}) {
    EXPECT_EQ(allocations_of_rounds(topology::ring(ranks)), 0);
    EXPECT_EQ(allocations_of_rounds(topology::complete(ranks)), 0);
    EXPECT_EQ(allocations_of_rounds(topology::one_peer_exponential(ranks)), 0);
    EXPECT_EQ(allocations_of_rounds(topology::random_matching(ranks, 1)), 0);
    EXPECT_EQ(allocations_of_rounds(topology::complete(ranks), true), 0);
  }
}

/// On all ranks together, of 100 steps after 300 that grow what has to grow, communication threads
/// included.
template <class Make>
long allocations_of_steps(int ranks, Make make) {
  long count = -1;
  transport::local::Cluster cluster(ranks);
  std::barrier all(ranks);  // the group's allocates
  test::run_ranks(ranks, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> model(300, 1.0 + rank);
    PlainPort port({std::span<double>(model)});
    const std::unique_ptr<Worker> worker = make(*group, port);
    const auto steps = [&](int number) {
      for (int step = 0; step < number; ++step) {
        worker->prepare();
        worker->finish();
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    };
    steps(300);
    all.arrive_and_wait();
    const long before = num_allocations;
    all.arrive_and_wait();
    steps(100);
    all.arrive_and_wait();
    if (rank == 0) count = num_allocations - before;
    all.arrive_and_wait();
    worker->leave();
  });
  return count;
}

using transport::Group;

std::unique_ptr<Worker> push_sum(Group& group, PlainPort& port) {
  return std::make_unique<StagedWorker>(group, std::make_shared<algorithm::PushSumSGD>(),
                                        topology::directed_ring(group.size()), port);
}

std::unique_ptr<Worker> overlapped(Group& group, PlainPort& port) {
  return std::make_unique<OverlapWorker>(group, topology::complete(group.size()), port);
}

std::unique_ptr<Worker> async_gossip(Group& group, PlainPort& port) {
  return std::make_unique<AsyncGossipWorker>(group, topology::ring(group.size()), port);
}

std::unique_ptr<Worker> pairs(Group& group, PlainPort& port) {
  return std::make_unique<PairWorker>(group, std::make_shared<algorithm::ADPSGD>(),
                                      topology::ring(group.size()), port);
}

TEST(WorkerAllocations, ThereAreNoneAfterTheFirstSteps) {
  for (const int ranks : {2, 3}) {
    EXPECT_EQ(allocations_of_steps(ranks, push_sum), 0);
    EXPECT_EQ(allocations_of_steps(ranks, overlapped), 0);
    EXPECT_EQ(allocations_of_steps(ranks, async_gossip), 0);
    EXPECT_EQ(allocations_of_steps(ranks, pairs), 0);
  }
}

/// The second slot is needed only when a receiver is slow, which may be late in a run.
TEST(ChannelAllocations, ThereAreNoneInASlotThatIsUsedLate) {
  long count = -1;
  transport::local::Cluster cluster(2);
  std::barrier all(2);
  test::run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    const auto channel = group->make_channel({.capacity_bytes = 8, .slots = 2});
    const Rank other = 1 - rank;
    const std::vector<Rank> receivers{other};
    const auto send = [&](std::int64_t round) {
      static_cast<void>(channel->acquire(receivers));
      channel->commit({.round = round});
    };
    send(0);
    static_cast<void>(channel->next(other));
    all.arrive_and_wait();
    const long before = num_allocations;
    all.arrive_and_wait();
    send(1);
    send(2);
    static_cast<void>(channel->next(other));
    static_cast<void>(channel->next(other));
    all.arrive_and_wait();
    if (rank == 0) count = num_allocations - before;
    all.arrive_and_wait();
  });
  EXPECT_EQ(count, 0);
}

TEST(MixerAllocations, AreCountedInThisProgram) {
  const long before = num_allocations;
  const topology::Graph graph = topology::ring(8);
  EXPECT_GT(num_allocations, before) << graph.name();
}

}  // namespace
}  // namespace gossip::engine
