// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <libgossip/optim/bias_corrected.h>
#include <libgossip/optim/factory.h>
#include <libgossip/topology/weights.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::Normed;

class RefusalsTest : public test::OptimTest {
 protected:
  /// Expects JointError on every rank from GossipSGD with this model, local optimizer, topology and
  /// options.
  void expect_refused(const std::vector<std::string>& parts, torch::nn::Module& model,
                      std::unique_ptr<torch::optim::Optimizer> local,
                      const topology::Schedule& schedule, const GossipSGDOptions& options = {}) {
    test::expect_throw<JointError>(
        [&] { GossipSGD(world(), model, std::move(local), schedule, options); }, parts);
    EXPECT_TRUE(is_same_everywhere("still in step"));
  }

  [[nodiscard]] static std::unique_ptr<torch::optim::Optimizer> local_for(torch::nn::Module& model,
                                                                          double rate = 0.1) {
    auto local = std::make_unique<torch::optim::SGD>(test::sgd(model));
    local->param_groups()[0].options().set_lr(rate);
    return local;
  }

  [[nodiscard]] std::string last_has() const { return "rank " + std::to_string(last()) + " has "; }
  [[nodiscard]] bool is_last() const { return rank() == last(); }
};

TEST_F(RefusalsTest, LBFGSWithTheReason) {
  const auto model = test::make<Branches>(1);
  expect_refused({"LBFGS cannot be the local optimizer", "line search", "AdamW"}, *model,
                 std::make_unique<torch::optim::LBFGS>(model->parameters(), 0.1),
                 topology::ring(size()));
  test::expect_throw<JointError>(
      [&] { AllReduce(world(), *model, torch::optim::LBFGS(model->parameters(), 0.1)); },
      {"LBFGS"});
}

TEST_F(RefusalsTest, ModelsWithoutParameters) {
  torch::nn::Sequential model(torch::nn::Tanh{});
  const auto other = test::make<Branches>(1);
  expect_refused({"no parameters that require gradients"}, *model, local_for(*other),
                 topology::ring(size()));
}

TEST_F(RefusalsTest, TensorsOnNoDeviceThatCanBeSentFrom) {
  for (const bool is_buffer : {true, false}) {
    const auto model = test::make<Branches>(1);
    const torch::Tensor nowhere = torch::empty({3}, torch::kMeta);
    if (is_buffer) {
      model->register_buffer("far", nowhere);
    } else {
      model->register_parameter("far", nowhere, false);
    }
    auto parameters = model->trunk->parameters();
    expect_refused({is_buffer ? "buffer 'far'" : "parameter 'far'", "meta", "CPU only"}, *model,
                   std::make_unique<torch::optim::SGD>(parameters, 0.1), topology::ring(size()));
  }
}

TEST_F(RefusalsTest, LocalOptimizersOfAnotherModel) {
  const auto model = test::make<Branches>(1);
  const auto other = test::make<Branches>(1);
  expect_refused(
      {"trainable parameter of shape 2x2", "not a parameter of the module", "module.parameters()"},
      *model, local_for(*other), topology::ring(size()));
}

TEST_F(RefusalsTest, RatesThatAreNone) {
  const auto model = test::make<Branches>(1);
  const topology::Schedule ring = topology::ring(size());
  expect_refused({"The learning rate is nan"}, *model,
                 local_for(*model, std::numeric_limits<double>::quiet_NaN()), ring);
  expect_refused({"The learning rate is inf"}, *model,
                 local_for(*model, std::numeric_limits<double>::infinity()), ring);
  expect_refused({"The learning rate is -0.5"}, *model, local_for(*model, -0.5), ring);
  if (size() == 1) return;
  expect_refused({"On rank " + std::to_string(last()), "The learning rate is -0.5"}, *model,
                 local_for(*model, is_last() ? -0.5 : 0.1), ring);
}

TEST_F(RefusalsTest, OptionsOutOfRange) {
  const auto model = test::make<Branches>(1);
  const topology::Schedule ring = topology::ring(size());
  expect_refused({"local_steps is 0"}, *model, local_for(*model), ring,
                 GossipSGDOptions().local_steps(0));
  expect_refused({"The timeout is -5 ms"}, *model, local_for(*model), ring,
                 GossipSGDOptions().timeout(std::chrono::milliseconds(-5)));
  for (const std::int64_t bytes : {0, -8}) {
    test::expect_throw<JointError>(
        [&] {
          AllReduce(world(), *model, local_for(*model), AllReduceOptions().bucket_bytes(bytes));
        },
        {"bucket_bytes is " + std::to_string(bytes)});
  }
  test::expect_throw<JointError>(
      [&] {
        AllReduce(world(), *model, local_for(*model),
                  AllReduceOptions().timeout(std::chrono::milliseconds(0)));
      },
      {"The timeout is 0 ms"});
}

TEST_F(RefusalsTest, TopologiesOfAnotherSize) {
  const auto model = test::make<Branches>(1);
  expect_refused({"'ring' is made for " + std::to_string(size() + 1) + " ranks"}, *model,
                 local_for(*model), topology::ring(size() + 1));
}

TEST_F(RefusalsTest, TopologiesThatMoveTheMean) {
  if (size() < 3) return;  // smaller stars are regular
  const auto model = test::make<Branches>(1);
  expect_refused(
      {"'star-in'", "column", "push-sum"}, *model, local_for(*model),
      topology::Schedule(topology::uniform_in_degree(topology::star(size())), "star-in"));
}

TEST_F(RefusalsTest, RanksWithOtherModels) {
  if (size() == 1) return;  // nobody to differ from
  auto larger = std::make_shared<torch::nn::LinearImpl>(4, is_last() ? 7 : 6);
  expect_refused({"disagree on the model", "rank 0 has 2 parameters with 30 elements",
                  last_has() + "2 parameters with 35 elements"},
                 *larger, local_for(*larger), topology::ring(size()));

  auto buffer = std::make_shared<torch::nn::LinearImpl>(4, 6);
  buffer->register_buffer("state", torch::zeros({is_last() ? 3 : 2}));
  expect_refused({"disagree on the model", "1 other tensors"}, *buffer, local_for(*buffer),
                 topology::ring(size()));

  auto types = std::make_shared<torch::nn::LinearImpl>(4, 6);
  if (is_last()) types->to(torch::kFloat64);
  test::expect_throw<JointError>([&] { AllReduce(world(), *types, local_for(*types)); },
                                 {"disagree on the model"});
}

TEST_F(RefusalsTest, RanksWithOtherTopologies) {
  if (size() == 1) return;  // nobody to differ from
  const auto model = test::make<Branches>(1);
  expect_refused(
      {"disagree on the topology", "rank 0 has 'one-peer-exponential'", last_has() + "'complete'"},
      *model, local_for(*model),
      is_last() ? topology::Schedule(topology::complete(size()))
                : topology::one_peer_exponential(size()));
  if (size() < 3) return;
  expect_refused({"disagree on the topology", "'random-matching'"}, *model, local_for(*model),
                 topology::random_matching(size(), is_last() ? 2 : 1));
}

TEST_F(RefusalsTest, RanksWithOtherOptions) {
  if (size() == 1) return;  // nobody to differ from
  const auto model = test::make<Branches>(1);
  const topology::Schedule ring = topology::ring(size());
  expect_refused({"disagree on the optimizer", "local_steps 1", "local_steps 2"}, *model,
                 local_for(*model), ring, GossipSGDOptions().local_steps(is_last() ? 2 : 1));
  expect_refused({"disagree on the optimizer", "order"}, *model, local_for(*model), ring,
                 GossipSGDOptions().order(is_last() ? MixingOrder::kDiffusion
                                                    : MixingOrder::kCombineThenAdapt));
  expect_refused({"disagree on the optimizer", "initial"}, *model, local_for(*model), ring,
                 GossipSGDOptions().initial(is_last() ? Initial::kKeep : Initial::kMean));
  expect_refused({"On rank " + std::to_string(last()), "local_steps is 0"}, *model,
                 local_for(*model), ring, GossipSGDOptions().local_steps(is_last() ? 0 : 1));
  test::expect_throw<JointError>(
      [&] {
        AllReduce(world(), *model, local_for(*model),
                  AllReduceOptions().bucket_bytes(is_last() ? 64 : 128));
      },
      {"disagree on the optimizer", "bucket_bytes 128",
       last_has() + "'allreduce' with bucket_bytes 64"});
}

TEST_F(RefusalsTest, RanksWithOtherOptimizers) {
  if (size() == 1) return;  // nobody to differ from
  const auto model = test::make<Branches>(1);
  test::expect_throw<JointError>(
      [&] {
        static_cast<void>(make_optimizer(is_last() ? "allreduce" : "gossip-sgd", world(), *model,
                                         local_for(*model), topology::complete(size())));
      },
      {"disagree on the optimizer", "rank 0 has 'gossip-sgd'", last_has() + "'allreduce'"});
  test::expect_throw<JointError>(
      [&] {
        static_cast<void>(make_optimizer(is_last() ? "dadao" : "gossip-sgd", world(), *model,
                                         local_for(*model), topology::complete(size()),
                                         {.weight_decay = 0.1, .lipschitz = 1.0}));
      },
      {"rank 0 is in the constructor of the optimizer (a gather)", "(the smoothness of DADAO's "});
}

TEST_F(RefusalsTest, AfterARefusalTheModelTrains) {
  const auto model = test::make<Branches>(1);
  expect_refused({"local_steps is 0"}, *model, local_for(*model), topology::ring(size()),
                 GossipSGDOptions().local_steps(0));
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()));
  test::loss(*model, rank(), 0).backward();
  optimizer.step();
  EXPECT_EQ(optimizer.steps(), 1);
}

TEST_F(RefusalsTest, UnknownNamesWithTheNearOnes) {
  const auto model = test::make<Branches>(1);
  test::expect_throw<Error>(
      [&] {
        static_cast<void>(make_optimizer("gossip-sdg", world(), *model, local_for(*model),
                                         topology::ring(size())));
      },
      {"gossip-sdg", "gossip-sgd"});
  test::expect_throw<Error>([] { check_optimizer_name("all-reduce"); },
                            {"'all-reduce'", "allreduce"});
  test::expect_throw<Error>([] { static_cast<void>(mixing_order("act")); }, {"'act'", "atc"});
  EXPECT_NO_THROW(check_optimizer_name("allreduce"));
  EXPECT_EQ(mixing_order("atc"), MixingOrder::kAdaptThenCombine);
  EXPECT_EQ(mixing_order("cta"), MixingOrder::kCombineThenAdapt);
  EXPECT_EQ(mixing_order("diffusion"), MixingOrder::kDiffusion);
}

TEST_F(RefusalsTest, ExactDiffusionNamesTheMatricesThatDo) {
  if (size() < 3) return;  // all are symmetric
  const auto refuse = [&](const topology::Schedule& schedule, const std::vector<std::string>& parts,
                          bool is_lazy = true) {
    const auto model = test::make<Branches>(1);
    test::expect_throw<JointError>(
        [&] {
          ExactDiffusion(world(), *model, local_for(*model), schedule,
                         ExactDiffusionOptions().lazy(is_lazy));
        },
        parts);
    EXPECT_TRUE(is_same_everywhere("still in step"));
  };
  refuse(topology::random_matching(size(), 3),
         {"'random-matching' changes with the round", "ring"});
  refuse(topology::directed_ring(size()), {"is not symmetric", "torus"});
  if (size() == 4) {
    refuse(topology::ring(4), {"eigenvalue -0.3333", "above -0.3333", "lazy"}, false);
  }
}

TEST_F(RefusalsTest, EveryNameOfTheFactoryIsMade) {
  for (const OptimizerName& name : optimizer_names()) {
    const auto model = test::make<Branches>(1);
    const auto optimizer =
        make_optimizer(name.name, world(), *model, local_for(*model), topology::ring(size()),
                       {.local_steps = 2, .weight_decay = 0.1, .lipschitz = 10.0});
    EXPECT_EQ(optimizer->name(), name.name);
    EXPECT_FALSE(name.description.empty());
    EXPECT_NE(name.description.back(), '.');
    for (int step = 0; step < 2; ++step) {
      test::loss(*model, rank(), step).backward();
      optimizer->step();
    }
    if (name.name == "gossip-sgd") {
      EXPECT_EQ(optimizer->counters().gossip_rounds, 1) << "local_steps did not arrive";
    }
  }
}

TEST_F(RefusalsTest, OnlyMethodsThatMayDropANeighborTakeTheOptionAndReallyGetIt) {
  std::vector<std::string> names;
  for (const OptimizerName& entry : optimizer_names()) {
    if (entry.may_drop) names.emplace_back(entry.name);
  }
  EXPECT_THAT(names,
              testing::ElementsAre("gossip-sgd", "push-sum", "async-gossip", "ad-psgd", "a2cid2"));
  for (const OptimizerName& entry : optimizer_names()) {
    SCOPED_TRACE(entry.name);
    const auto model = test::make<Branches>(1);
    const auto make = [&] {
      return make_optimizer(entry.name, world(), *model, local_for(*model), topology::ring(size()),
                            {.local_steps = 2,
                             .weight_decay = 0.1,
                             .lipschitz = 10.0,
                             .on_lost_neighbor = OnLostNeighbor::kDrop});
    };
    if (!entry.may_drop) {
      test::expect_throw<Error>(
          [&] { static_cast<void>(make()); },
          {"'" + std::string(entry.name) + "' cannot go on without a lost neighbor: only " +
           fmt::format("{}", fmt::join(names, ", ")) + " can"});
      continue;
    }
    const auto optimizer = make();
    optimizer->paused([&] {
      const model::StateDict state = optimizer->state_dict();
      EXPECT_THAT(model::StateReader(state, "It").value<std::string>("options"),
                  testing::HasSubstr(
                      fmt::format("on_lost_neighbor {}", static_cast<int>(OnLostNeighbor::kDrop))));
    });
  }
}

}  // namespace
}  // namespace gossip::optim
