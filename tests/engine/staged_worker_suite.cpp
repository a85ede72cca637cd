// SPDX-License-Identifier: Apache-2.0
// The worker on every kind of group: see transport/on_ranks.h.
#include <chrono>
#include <memory>

#include <libgossip/algorithm/all_reduce.h>
#include <libgossip/algorithm/ef_sgd.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/hierarchical_local_sgd.h>
#include <libgossip/algorithm/push_pull.h>
#include <libgossip/algorithm/slowmo.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/policy/wait.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using algorithm::GossipSGD;
using algorithm::MixingOrder;
using test::expect_throw;
using test::on_ranks;
using test::start_value;
using transport::Group;

const StagedWorkerOptions kOptions{.timeout = std::chrono::seconds(30)};

/// A model of one number, whose local update adds 1.
struct Counting {
  Counting(Group& group, std::unique_ptr<algorithm::Algorithm> method)
      : x{start_value(group.rank(), 0, 0)},
        worker(group, std::move(method), topology::complete(group.size()), port, kOptions) {}

  std::vector<double> x;
  std::vector<double> gradient{0.0};
  PlainPort port{{std::span<double>(x)},
                 {std::span<double>(gradient)},
                 [this] { x[0] += 1.0; },
                 [] { return 1.0; }};
  StagedWorker worker;
};

double mean_start(int size) {
  double sum = 0.0;
  for (Rank rank = 0; rank < size; ++rank) sum += start_value(rank, 0, 0);
  return sum / size;
}

class StagedWorkerTest : public testing::TestWithParam<int> {};

TEST_P(StagedWorkerTest, StagesBeforeTheGradientBelongToPrepare) {
  on_ranks(GetParam(), [](Group& group) {
    Counting adapt(group, std::make_unique<GossipSGD>(MixingOrder::kAdaptThenCombine));
    Counting diffusion(group, std::make_unique<GossipSGD>(MixingOrder::kDiffusion));
    const double own = start_value(group.rank(), 0, 0);
    const double mean = mean_start(group.size());

    adapt.worker.prepare();
    diffusion.worker.prepare();
    EXPECT_EQ(adapt.x[0], own);
    EXPECT_NEAR(diffusion.x[0], mean, 1e-14);
    EXPECT_EQ(diffusion.worker.position().step, 0);
    EXPECT_EQ(diffusion.worker.position().round, 0) << "a round ends with its step";

    adapt.worker.finish();
    diffusion.worker.finish();
    EXPECT_NEAR(adapt.x[0], mean + 1.0, 1e-14);
    EXPECT_NEAR(diffusion.x[0], mean + 1.0, 1e-14);
    EXPECT_EQ(adapt.worker.position().step, 1);
    EXPECT_EQ(adapt.worker.position().round, 1);
    EXPECT_EQ(diffusion.worker.position().round, 1);
  });
}

TEST_P(StagedWorkerTest, WithoutCommunicationStepsAreLocalAndNoRoundIsUsed) {
  on_ranks(GetParam(), [](Group& group) {
    for (const MixingOrder order : {MixingOrder::kAdaptThenCombine, MixingOrder::kDiffusion}) {
      Counting own(group, std::make_unique<GossipSGD>(order));
      for (int step = 0; step < 3; ++step) {
        own.worker.prepare({.communicates = false});
        own.worker.finish({.communicates = false});
      }
      EXPECT_EQ(own.x[0], start_value(group.rank(), 0, 0) + 3.0);
      EXPECT_EQ(own.worker.position().step, 3);
      EXPECT_EQ(own.worker.position().round, 0);
      EXPECT_EQ(own.worker.counters().gossip_rounds, 0);
    }
  });
}

/// What each rank knows of itself only: the others have other rules.
TEST_P(StagedWorkerTest, EachRankDecidesByItselfWhetherItIsActive) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    const auto is_active = [rank](std::int64_t step) {
      return rank % 2 == 0 ? step % 3 != 1 : step % (rank + 1) == 0;
    };
    const topology::Schedule graph = topology::directed_ring(group.size());
    const topology::Matrices matrices{topology::with_row_weights(graph),
                                      topology::with_column_weights(graph)};
    std::vector<double> x{start_value(rank, 0, 0)};
    std::vector<double> gradient{0.0};
    PlainPort port({std::span<double>(x)}, {std::span<double>(gradient)},
                   [&] { x[0] -= 0.02 * gradient[0]; });
    StagedWorker worker(group, std::make_unique<algorithm::PushPull>(is_active), matrices, port,
                        kOptions);
    const auto state = [&](std::size_t vector) {
      return worker.state()[vector].vector.as<double>()[0];
    };

    for (std::int64_t step = 0; step < 2000; ++step) {
      worker.prepare();
      EXPECT_EQ(worker.needs_gradient(), is_active(step));
      if (is_active(step)) gradient[0] = x[0] - static_cast<double>(rank);
      worker.finish();
      if (step % 100 != 0) continue;
      std::vector<double> sums{state(0), state(1)};
      average_(group, std::span<double>(sums));
      EXPECT_NEAR(sums[0], sums[1], 1e-12) << "the trackers follow the gradients, step " << step;
    }
    EXPECT_NEAR(x[0], (group.size() - 1) / 2.0, 1e-6) << "the optimum of all";
  });
}

TEST_P(StagedWorkerTest, WhoDrivesAWorkerMayDecideWhetherItIsActive) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    const auto is_active = [rank](std::int64_t step) { return (step + rank) % 3 != 1; };
    const topology::Schedule graph = topology::directed_ring(group.size());
    const auto last_model = [&](const algorithm::PushPull::IsActive& by_method,
                                const algorithm::PushPull::IsActive& by_driver) {
      std::vector<double> x{start_value(rank, 0, 0)};
      std::vector<double> gradient{0.0};
      PlainPort port({std::span<double>(x)}, {std::span<double>(gradient)},
                     [&] { x[0] -= 0.1 * gradient[0]; });
      StagedWorker worker(group, std::make_unique<algorithm::PushPull>(by_method),
                          {topology::with_row_weights(graph), topology::with_column_weights(graph)},
                          port, kOptions);
      for (std::int64_t step = 0; step < 20; ++step) {
        worker.prepare({.computes = by_driver(step)});
        EXPECT_EQ(worker.needs_gradient(), is_active(step));
        if (worker.needs_gradient()) gradient[0] = x[0] - static_cast<double>(rank);
        worker.finish();
      }
      return x[0];
    };
    const auto always = [](std::int64_t) { return true; };
    EXPECT_EQ(last_model(is_active, always), last_model(always, is_active));
  });
}

TEST_P(StagedWorkerTest, ClosesRoundsByThePolicyOfTheStep) {
  on_ranks(GetParam(), [](Group& group) {
    Counting own(group, std::make_unique<GossipSGD>(MixingOrder::kAdaptThenCombine));
    policy::Fastest one(1);
    own.worker.prepare();
    own.worker.finish({.wait = &one});
    own.worker.prepare();
    own.worker.finish();
    const std::int64_t others = group.size() - 1;
    EXPECT_EQ(own.worker.counters().left_out, std::max<std::int64_t>(0, others - 1));

    policy::BoundedStaleness newest(2);
    expect_throw<Error>([&] { own.worker.prepare({.wait = &newest}); }, {"newest values"});
    Counting tracking(group, std::make_unique<algorithm::GradientTracking>());
    expect_throw<Error>([&] { tracking.worker.prepare({.wait = &one}); },
                        {"gradient-tracking", "all neighbors"});
  });
}

/// Mixed by what each two ranks agree on, with the first neighbor that comes.
TEST_P(StagedWorkerTest, ClosedAsAgreedTrackersFollowTheMeanOfTheGradients) {
  on_ranks(GetParam(), [](Group& group) {
    for (const auto order : {algorithm::TrackingOrder::kATC, algorithm::TrackingOrder::kSemiATC}) {
      std::vector<double> x{start_value(group.rank(), 0, 0)};
      std::vector<double> gradient{0.0};
      PlainPort port({std::span<double>(x)}, {std::span<double>(gradient)},
                     [&] { x[0] -= 0.05 * gradient[0]; });
      StagedWorkerOptions options = kOptions;
      options.closes_as_agreed = true;
      StagedWorker worker(group, std::make_unique<algorithm::GradientTracking>(order),
                          topology::ring(group.size()), port, options);
      policy::Fastest one(1);
      for (int step = 0; step < 40; ++step) {
        worker.prepare({.wait = &one});
        gradient[0] = x[0] - static_cast<double>(group.rank());
        worker.finish({.wait = &one});
      }
      worker.leave();
      const bool is_atc = order == algorithm::TrackingOrder::kATC;
      const auto state = worker.state();
      std::vector<double> sums{state[0].vector.as<double>()[0],
                               is_atc ? state[1].vector.as<double>()[0] : 0.0};
      average_(group, std::span<double>(sums));
      EXPECT_NEAR(sums[0], sums[1], 1e-12) << (is_atc ? "tracker, gradient" : "correction, 0");
    }
  });
}

/// A rank that waits in one would take no late values of the other.
TEST_P(StagedWorkerTest, RefusesPoliciesWhereAStepWaitsInSeveralPlaces) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> x{0.0};
    std::vector<double> gradient{0.0};
    PlainPort port({std::span<double>(x)}, {std::span<double>(gradient)});
    StagedWorkerOptions options = kOptions;
    options.closes_as_agreed = true;
    policy::Fastest one(1);
    StagedWorker means(group, std::make_unique<algorithm::HierarchicalLocalSGD>(1, 2),
                       topology::complete(group.size()), port, options);
    expect_throw<Error>([&] { means.prepare({.wait = &one}); }, {"all neighbors"});
    if (group.size() < 3) return;  // one matching for all rounds
    StagedWorker mixings(
        group, std::make_unique<algorithm::GradientTracking>(algorithm::TrackingOrder::kATC),
        topology::random_matching(group.size(), 1), port, options);
    expect_throw<Error>([&] { mixings.prepare({.wait = &one}); }, {"a topology that stays"});
  });
}

TEST_P(StagedWorkerTest, RefusesToLeaveOutAGradientThatTheMethodNeeds) {
  on_ranks(GetParam(), [](Group& group) {
    Counting own(group, std::make_unique<GossipSGD>(MixingOrder::kAdaptThenCombine));
    expect_throw<Error>([&] { own.worker.prepare({.computes = false}); },
                        {"needs one of every rank", "device sampling"});
    own.worker.prepare();
    own.worker.finish();
    EXPECT_EQ(own.worker.position().step, 1) << "nothing had happened";
  });
}

TEST_P(StagedWorkerTest, APositionContinuesTheLocalStepsAndTheSchedule) {
  on_ranks(GetParam(), [](Group& group) {
    Counting own(group, std::make_unique<GossipSGD>(MixingOrder::kAdaptThenCombine, 3));
    own.worker.set_position({.step = 5, .round = 1});

    own.worker.prepare();
    own.worker.finish();  // the sixth step mixes

    EXPECT_EQ(own.worker.position().step, 6);
    EXPECT_EQ(own.worker.position().round, 2);
    EXPECT_NEAR(own.x[0], mean_start(group.size()) + 1.0, 1e-14);
  });
}

TEST_P(StagedWorkerTest, RefusesTheEndOfARoundWithoutTheOthers) {
  on_ranks(GetParam(), [](Group& group) {
    Counting slowmo(group, std::make_unique<algorithm::SlowMo>(3, 1.0, 0.5));
    for (int step = 0; step < 2; ++step) {
      slowmo.worker.prepare({.communicates = false});
      slowmo.worker.finish({.communicates = false});
    }
    slowmo.worker.prepare({.communicates = false});
    if (group.size() == 1) {
      slowmo.worker.finish({.communicates = false});  // there are no others
      return;
    }
    const double before = slowmo.x[0];
    expect_throw<Error>([&] { slowmo.worker.finish({.communicates = false}); },
                        {"'slowmo'", "step 2", "no_sync()"});
    EXPECT_EQ(slowmo.x[0], before);
    EXPECT_EQ(slowmo.worker.position().step, 2);

    slowmo.worker.finish();  // the same step, with the others

    // Start 3 steps back, slow momentum (start - mean) / rate: the mean itself.
    EXPECT_NEAR(slowmo.x[0], mean_start(group.size()) + 3.0, 1e-12);
  });
}

/// Sums of floats depend on their order.
TEST_P(StagedWorkerTest, CompressedGradientsGiveAllRanksTheSameBits) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kSize = 400;
    const auto size = static_cast<std::size_t>(group.size());
    const std::vector<std::vector<double>> even(
        size, std::vector<double>(size, 1.0 / static_cast<double>(size)));
    std::vector<float> x(kSize, 1.0F);
    std::vector<float> gradient(kSize);
    PlainPort port({std::span<float>(x)}, {std::span<float>(gradient)}, [&] {
      for (std::size_t k = 0; k < kSize; ++k) x[k] -= 0.1F * gradient[k];
    });
    StagedWorker worker(
        group, std::make_unique<algorithm::EFSGD>(),
        topology::Schedule(topology::MixingMatrix(even)), port,
        {.timeout = std::chrono::seconds(30), .codec = std::make_shared<kernels::TopK>(0.5)});
    for (std::size_t step = 0; step < 30; ++step) {
      worker.prepare();
      for (std::size_t k = 0; k < kSize; ++k) {
        gradient[k] = x[k] * static_cast<float>(start_value(group.rank(), step, k));
      }
      worker.finish();
    }
    const std::string mine(reinterpret_cast<const char*>(x.data()), kSize * sizeof(float));
    for (const std::string& theirs : group.all_gather(mine)) EXPECT_TRUE(theirs == mine);
  });
}

/// Gossip: into the message 2, mixed 2 and what came. The tracker: made 3, corrected 3 and what
/// came.
TEST_P(StagedWorkerTest, CountsThePassesOverTheModel) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;  // nothing is sent
    Counting gossip(group, std::make_unique<GossipSGD>());
    Counting tracking(group, std::make_unique<algorithm::GradientTracking>());
    for (Counting* one : {&gossip, &tracking}) {
      one->worker.prepare();
      one->worker.finish();
    }
    const auto others = static_cast<std::uint64_t>(group.size() - 1);
    EXPECT_EQ(gossip.worker.counters().bytes_touched, 8 * (2 + 2 + others));
    EXPECT_EQ(tracking.worker.counters().bytes_touched, 8 * (3 + 2 + 2 + others + 3 + others));
    EXPECT_EQ(tracking.worker.counters().bytes_touched_least,
              tracking.worker.counters().bytes_touched);
  });
}

/// It averages the gradient itself, it says.
class AveragingPort final : public PlainPort {
 public:
  using PlainPort::PlainPort;
  bool average_gradient() override { return ++calls > 0; }

  int calls = 0;
};

TEST_P(StagedWorkerTest, ThePortMayAverageTheGradientItself) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> gradient{start_value(group.rank(), 0, 0)};
    AveragingPort port({}, {std::span<double>(gradient)});
    StagedWorker worker(group, std::make_unique<algorithm::AllReduce>(),
                        topology::ring(group.size()), port, kOptions);

    worker.prepare();
    worker.finish();
    EXPECT_EQ(port.calls, 1);
    EXPECT_EQ(gradient[0], start_value(group.rank(), 0, 0));

    worker.gradient_mean()->finish();
    EXPECT_NEAR(gradient[0], mean_start(group.size()), 1e-14);
    worker.finish({.communicates = false});
    EXPECT_EQ(port.calls, 1);
  });
}

TEST_P(StagedWorkerTest, BucketsStartAtTheEndOfTheGradient) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> gradient(5);
    PlainPort port({}, {std::span<double>(gradient)});
    const StagedWorker worker(group, std::make_unique<algorithm::AllReduce>(),
                              topology::ring(group.size()), port,
                              {.timeout = std::chrono::seconds(30), .bucket_bytes = 16});
    ASSERT_EQ(worker.gradient_buckets().size(), 3U);
    EXPECT_EQ(worker.gradient_buckets()[0].data, &gradient[4]);
    EXPECT_EQ(worker.gradient_buckets()[2].data, &gradient[0]);
  });
}

TEST_P(StagedWorkerTest, RefusesMatricesThatMoveTheMeanOnEveryRank) {
  if (GetParam() < 3) return;  // smaller stars are regular
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> x(2);
    PlainPort port({std::span<double>(x)});
    const topology::Graph star = topology::star(group.size());
    for (const topology::Schedule& schedule :
         {topology::Schedule(topology::uniform_in_degree(star), "rows-only"),
          topology::Schedule(topology::uniform_out_degree(star), "columns-only")}) {
      expect_throw<JointError>(
          [&] { StagedWorker(group, std::make_unique<GossipSGD>(), schedule, port, kOptions); },
          {"'" + schedule.name() + "'", "sums to"});
    }
    group.barrier();
  });
}

TEST_P(StagedWorkerTest, RefusesATopologyOfAnotherSizeOnEveryRank) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> x(2);
    PlainPort port({std::span<double>(x)});
    expect_throw<JointError>(
        [&] {
          StagedWorker(group, std::make_unique<GossipSGD>(), topology::ring(group.size() + 2), port,
                       kOptions);
        },
        {"'ring' is made for " + std::to_string(group.size() + 2) + " ranks"});
    group.barrier();
  });
}

/// Rank 0 closes its rounds without the value of a rank that comes later, and leaves: that rank
/// needs the room of its first value for the second.
TEST_P(StagedWorkerTest, WhoLeavesTakesTheValuesThatItsRoundsClosedWithout) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() < 3) return;
    const Rank late = group.size() - 1;  // sends to rank 0 in the first round
    const bool is_of_two = group.rank() == 0 || group.rank() == late;
    const auto two = group.split(is_of_two ? 0 : 1, 0);
    std::vector<double> x(std::size_t{1} << 18U, start_value(group.rank(), 0, 0));  // room for one
    PlainPort port({std::span<double>(x)});
    StagedWorker worker(group, std::make_unique<GossipSGD>(MixingOrder::kAdaptThenCombine),
                        topology::one_peer_exponential(group.size()), port, kOptions);
    policy::Deadline at_once(0.0);
    policy::WaitPolicy* wait = group.rank() == 0 ? &at_once : nullptr;

    if (group.rank() == late) two->barrier();
    for (int step = 0; step < 2; ++step) {
      worker.prepare({.wait = wait});
      worker.finish({.wait = wait});
    }
    if (group.rank() == 0) {
      EXPECT_GE(worker.counters().left_out, 1);
      two->barrier();
    }
    worker.leave();
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, StagedWorkerTest, testing::ValuesIn(test::engine_rank_counts()));

}  // namespace
}  // namespace gossip::engine
