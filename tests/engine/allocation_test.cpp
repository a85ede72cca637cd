// SPDX-License-Identifier: Apache-2.0
// After the first rounds a round allocates nothing. LocalGroup's barrier() neither.
#include <atomic>
#include <cstdlib>
#include <new>

#include <libgossip/engine/mixer.h>
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
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace gossip::engine {
namespace {

/// On all ranks together.
long allocations_of_rounds(const topology::Schedule& schedule) {
  long count = -1;
  transport::local::Cluster cluster(schedule.size());
  test::run_ranks(schedule.size(), [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> doubles(300, 1.0);
    std::vector<float> floats(30, 1.0F);
    Mixer mixer(*group, schedule, {std::span<double>(doubles), std::span<float>(floats)},
                std::chrono::seconds(20));
    for (std::int64_t round = 0; round < 12; ++round) mixer.pull(round);
    group->barrier();
    const long before = num_allocations;
    group->barrier();
    for (std::int64_t round = 12; round < 112; ++round) mixer.pull(round);
    group->barrier();
    if (rank == 0) count = num_allocations - before;
    group->barrier();
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
  }
}

TEST(MixerAllocations, AreCountedInThisProgram) {
  const long before = num_allocations;
  const topology::Graph graph = topology::ring(8);
  EXPECT_GT(num_allocations, before) << graph.name();
}

}  // namespace
}  // namespace gossip::engine
