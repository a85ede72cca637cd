// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include <libgossip/policy/factory.h>
#include <libgossip/policy/renormalize.h>
#include <libgossip/topology/families.h>

#include "policy_test_support.h"

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

namespace gossip::policy {
namespace {

const std::vector<double> kOffsets{0.5, 0.25, 3.0, 0.125};

/// Allocations of 100 rounds, after as many as fill a window.
long allocations_of_rounds(WaitPolicy& policy) {
  const std::vector<NeighborView> neighbors = test::neighbors_after(4.0, kOffsets);
  const RoundView view{.elapsed = 4.0, .step_seconds = 1.0, .neighbors = neighbors};
  Mask accepted;
  const auto round = [&] {
    EXPECT_TRUE(policy.decide(view).closes);
    policy.accept(view, accepted);
    policy.learn(kOffsets);
  };
  for (int k = 0; k < 20; ++k) round();
  const long before = num_allocations;
  for (int k = 0; k < 100; ++k) round();
  return num_allocations - before;
}

TEST(WaitPolicy, AllocatesNothingOnceItsWindowIsFull) {
  for (const char* const text : {"all", "fastest:2", "deadline:0.3:2", "adaptive", "stale"}) {
    EXPECT_EQ(allocations_of_rounds(*make_wait_policy(text)), 0) << text;
  }
}

TEST(Renormalize, AllocatesNothing) {
  const topology::Schedule schedule(topology::complete(5));
  const Mask accepted{true, false, true, false};
  const Mask accepted_by{true, true, false, false};
  topology::Neighborhood own;
  Mask used;
  long before = 0;
  for (int round = 0; round < 2; ++round) {
    before = num_allocations;
    find_agreed(accepted, accepted_by, used);
    schedule.neighborhood(round, 0, own);
    renormalize_agreed(own, used);
    schedule.neighborhood(round, 0, own);
    renormalize_self(own, accepted);
    schedule.neighborhood(round, 0, own);
    renormalize_proportional(own, accepted);
    schedule.neighborhood(round, 0, own);
    renormalize_pushed(own, accepted, accepted_by);
  }

  EXPECT_EQ(num_allocations - before, 0);
}

TEST(WaitPolicy, IsWatchedByThisProgramsCounter) {
  const long before = num_allocations;
  static_cast<void>(close(All(), kOffsets));
  EXPECT_GT(num_allocations, before);
}

}  // namespace
}  // namespace gossip::policy
