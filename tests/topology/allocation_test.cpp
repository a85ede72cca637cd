// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdlib>
#include <new>

#include <libgossip/topology/schedules.h>

#include "topology_test_support.h"

namespace {
std::atomic<long> num_allocations{0};
}  // namespace

void* operator new(std::size_t bytes) {
  ++num_allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
// Not inlined: GCC would see free() after an operator new of which it does not see malloc().
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace gossip::topology {
namespace {

long allocations_of_rounds(const Schedule& schedule) {
  Neighborhood own;
  for (int round = 0; round < 8; ++round) schedule.neighborhood(round, 3, own);
  const long before = num_allocations;
  for (int round = 0; round < 100; ++round) schedule.neighborhood(round, 3, own);
  return num_allocations - before;
}

TEST(Neighborhood, AllocatesNothingAfterTheFirstRounds) {
  const Schedule periodic("mine", {Schedule(ring(8)).matrix(0), Schedule(star(8)).matrix(0)});

  EXPECT_EQ(allocations_of_rounds(static_exponential(8)), 0);
  EXPECT_EQ(allocations_of_rounds(periodic), 0);
  EXPECT_EQ(allocations_of_rounds(one_peer_exponential(8)), 0);
  EXPECT_EQ(allocations_of_rounds(random_matching(8, 1)), 0);
}

TEST(Neighborhood, CountsAllocationsInThisProgram) {
  const long before = num_allocations;
  const Graph graph = ring(8);
  EXPECT_GT(num_allocations, before) << graph.name();
}

}  // namespace
}  // namespace gossip::topology
