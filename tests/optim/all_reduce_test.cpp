// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <optional>
#include <stdexcept>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;

/// What a rank's backward passes before one step are: the branch that each goes through.
using Passes = std::vector<bool>;

class AllReduceTest : public test::OptimTest {
 protected:
  /// The mean over all ranks of the sum of their passes' gradients, computed on this rank alone;
  /// undefined where no rank has one.
  [[nodiscard]] std::vector<torch::Tensor> mean_gradients(
      const std::vector<torch::Tensor>& parameters, const std::function<Passes(Rank)>& passes,
      int step) const {
    const auto twin = test::make<Branches>(99);
    {
      const torch::NoGradGuard no_grad;
      for (std::size_t i = 0; i < parameters.size(); ++i)
        twin->parameters()[i].copy_(parameters[i]);
    }
    for (Rank other = 0; other < size(); ++other) backward(*twin, other, passes(other), step);
    std::vector<torch::Tensor> gradients;
    for (const torch::Tensor& parameter : twin->parameters()) {
      const torch::Tensor& gradient = parameter.grad();
      gradients.push_back(gradient.defined() ? gradient / size() : torch::Tensor());
    }
    return gradients;
  }

  static void backward(Branches& model, Rank rank, const Passes& passes, int step) {
    int number = step * 10;
    for (const bool goes_left : passes) {
      model.forward(test::batch(rank, number++), goes_left).square().mean().backward();
    }
  }

  static void expect_gradients(Branches& model, const std::vector<torch::Tensor>& expected) {
    const auto parameters = model.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const torch::Tensor& gradient = parameters[i].grad();
      EXPECT_EQ(gradient.defined(), expected[i].defined()) << "parameter " << i;
      if (!gradient.defined() || !expected[i].defined()) continue;
      EXPECT_LE((gradient - expected[i]).abs().max().item<double>(), 1e-12) << "parameter " << i;
    }
  }

  /// Some steps whose gradients are all compared.
  void expect_means(const std::function<Passes(Rank)>& passes,
                    const AllReduceOptions& options = {}) {
    const auto model = test::make<Branches>(5);
    AllReduce optimizer(world(), *model, test::sgd(*model), options);
    for (int step = 0; step < 3; ++step) {
      const auto expected = mean_gradients(model->parameters(), passes, step);
      optimizer.zero_grad();
      backward(*model, rank(), passes(rank()), step);
      optimizer.step();
      expect_gradients(*model, expected);
      EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters()))) << "step " << step;
    }
  }
};

Passes all_left(Rank) { return {true}; }

TEST_F(AllReduceTest, GradientsAreTheMeanOverTheRanks) { expect_means(all_left); }

TEST_F(AllReduceTest, BucketsMayBeTinyOrHuge) {
  expect_means(all_left, AllReduceOptions().bucket_bytes(1));
  expect_means(all_left, AllReduceOptions().bucket_bytes(100));
  expect_means(all_left, AllReduceOptions().bucket_bytes(std::numeric_limits<std::int64_t>::max()));
}

TEST_F(AllReduceTest, ParametersUnusedOnSomeRanksGetTheMeanWithZeros) {
  expect_means([](Rank rank) { return Passes{rank % 2 == 0}; });
  expect_means([](Rank rank) { return Passes{rank % 2 == 0}; },
               AllReduceOptions().bucket_bytes(64));
}

TEST_F(AllReduceTest, SeveralPassesBeforeAStepAddUp) {
  expect_means([](Rank) { return Passes{true, true}; });
  expect_means([](Rank) { return Passes{true, false, true}; }, AllReduceOptions().bucket_bytes(64));
}

TEST_F(AllReduceTest, SeveralPassesMayUseOtherParametersOnEachRank) {
  const auto passes = [](Rank rank) {
    return rank % 2 == 0 ? Passes{true, true} : Passes{true, false};
  };
  expect_means(passes);
  expect_means(passes, AllReduceOptions().bucket_bytes(64));

  // Even ranks use the same parameters twice, odd ones each but once.
  const auto model = test::make<Branches>(6);
  AllReduce optimizer(world(), *model, test::sgd(*model), AllReduceOptions().bucket_bytes(64));
  const auto pass = [&](bool is_first) {
    const bool is_even = rank() % 2 == 0;
    const torch::nn::Linear& layer = is_first || is_even ? model->left : model->right;
    layer->weight.sum().backward();
  };
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    pass(true);
    pass(false);
    optimizer.synchronize();
    const int odd = size() / 2;
    const double left = static_cast<double>(2 * (size() - odd) + odd) / size();
    EXPECT_NEAR(model->left->weight.grad().sum().item<double>(), 18 * left, 1e-12);
    if (odd > 0) {
      EXPECT_NEAR(model->right->weight.grad().sum().item<double>(), 18.0 * odd / size(), 1e-12);
    }
    optimizer.step();
  }
}

TEST_F(AllReduceTest, NoSyncAccumulatesWithoutCommunication) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model));
  const auto passes = [](Rank) { return Passes{true, false, true}; };
  const auto expected = mean_gradients(model->parameters(), passes, 0);

  {
    const auto guard = optimizer.no_sync();
    backward(*model, rank(), {true, false}, 0);
    optimizer.synchronize();  // does nothing here
    EXPECT_EQ(optimizer.counters().gossip_rounds, 0);
  }
  model->forward(test::batch(rank(), 2), true).square().mean().backward();
  optimizer.step();

  expect_gradients(*model, expected);
  EXPECT_EQ(optimizer.counters().gossip_rounds, size() > 1 ? 1 : 0);
  EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters())));
}

TEST_F(AllReduceTest, PassesUnderNoSyncCountWhereverTheyStand) {
  const auto passes = [](Rank) { return Passes{true, false, true}; };
  for (const int suspended : {1, 2}) {
    for (const bool is_synchronized : {false, true}) {
      const auto model = test::make<Branches>(5);
      AllReduce optimizer(world(), *model, test::sgd(*model), AllReduceOptions().bucket_bytes(64));
      for (int step = 0; step < 2; ++step) {
        const auto expected = mean_gradients(model->parameters(), passes, step);
        optimizer.zero_grad();
        for (int pass = 0; pass < 3; ++pass) {
          std::optional<Decentralized::NoSync> guard;
          if (pass == suspended || pass == 2) guard.emplace(optimizer);
          model->forward(test::batch(rank(), step * 10 + pass), pass != 1)
              .square()
              .mean()
              .backward();
          guard.reset();
          if (pass == 0 && is_synchronized) optimizer.synchronize();
        }
        optimizer.step();
        expect_gradients(*model, expected);
        EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters()))) << "step " << step;
      }
    }
  }
}

TEST_F(AllReduceTest, PassesWhereNobodyTrainsCount) {
  const auto passes = [](Rank) { return Passes{true, true}; };
  for (const bool is_paused : {false, true}) {
    const auto model = test::make<Branches>(5);
    AllReduce optimizer(world(), *model, test::sgd(*model));
    for (int step = 0; step < 2; ++step) {
      const auto expected = mean_gradients(model->parameters(), passes, step);
      const auto pass = [&](int number) {
        model->forward(test::batch(rank(), step * 10 + number), true).square().mean().backward();
      };
      optimizer.zero_grad();
      pass(0);
      is_paused ? optimizer.paused([&] { pass(1); }) : optimizer.with_mean_model([&] { pass(1); });
      optimizer.step();
      expect_gradients(*model, expected);
      EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters()))) << "step " << step;
    }
  }
}

/// As estimators leave them.
TEST_F(AllReduceTest, GradientsMadeWithoutAPassAreAveragedAfterALoad) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model));
  const model::StateDict state = optimizer.state_dict();
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (torch::Tensor& parameter : model->parameters()) {
      if (parameter.requires_grad()) {
        parameter.mutable_grad() = torch::full_like(parameter, 2.0 * rank()).detach();
      }
    }
    optimizer.step();
    for (const torch::Tensor& parameter : model->parameters()) {
      if (!parameter.requires_grad()) continue;
      EXPECT_NEAR((parameter.grad() - (size() - 1.0)).abs().max().item<double>(), 0.0, 1e-12);
    }
    optimizer.load_state_dict(state);
  }
}

TEST_F(AllReduceTest, UnderNoSyncGradientsStayLocal) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model));
  const auto guard = optimizer.no_sync();
  backward(*model, rank(), {true}, 0);
  const torch::Tensor own = model->trunk->weight.grad().clone();
  optimizer.synchronize();
  EXPECT_TRUE(torch::equal(model->trunk->weight.grad(), own));
  EXPECT_EQ(optimizer.counters().gossip_rounds, 0);
}

TEST_F(AllReduceTest, ClipsTheMeanAfterSynchronize) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model, 1.0));
  const auto expected = mean_gradients(model->parameters(), all_left, 0);
  double squares = 0.0;
  for (const torch::Tensor& gradient : expected) {
    if (gradient.defined()) squares += gradient.square().sum().item<double>();
  }
  const auto before = test::copies_of(model->parameters());

  backward(*model, rank(), {true}, 0);
  optimizer.synchronize();
  const double norm = torch::nn::utils::clip_grad_norm_(model->parameters(), 0.01);
  optimizer.step();

  EXPECT_NEAR(norm, std::sqrt(squares), 1e-12);
  double moved = 0.0;
  for (std::size_t i = 0; i < before.size(); ++i)
    moved += (model->parameters()[i] - before[i]).square().sum().item<double>();
  EXPECT_NEAR(std::sqrt(moved), 0.01, 1e-6);
  EXPECT_EQ(optimizer.counters().gossip_rounds, size() > 1 ? 1 : 0) << "step() averaged again";
}

TEST_F(AllReduceTest, AfterItsEndTheModuleTrainsAlone) {
  const auto model = test::make<Branches>(5);
  const auto twin = test::make<Branches>(5);
  torch::Tensor loss;  // its graph outlives the optimizer, and with it what hooks are attached to
  {
    const AllReduce optimizer(world(), *model, test::sgd(*model));
    loss = test::loss(*model, rank(), 0);
  }

  if (rank() == 0) {  // nobody else comes
    loss.backward();
    test::loss(*twin, 0, 0).backward();
    EXPECT_TRUE(torch::equal(model->trunk->weight.grad(), twin->trunk->weight.grad()));
  }
  world().barrier();
}

TEST_F(AllReduceTest, MayEndBetweenBackwardAndStep) {
  const auto model = test::make<Branches>(5);
  {
    const AllReduce optimizer(world(), *model, test::sgd(*model),
                              AllReduceOptions().bucket_bytes(64));
    backward(*model, rank(), {rank() % 2 == 0}, 0);
  }
  EXPECT_TRUE(is_same_everywhere("still in step"));
}

TEST_F(AllReduceTest, OtherCollectiveCallsMayComeBetweenBackwardAndStep) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model), AllReduceOptions().bucket_bytes(64));
  const auto passes = [](Rank other) { return Passes{other % 2 == 0}; };
  const auto expected = mean_gradients(model->parameters(), passes, 0);
  const auto before = test::copies_of(model->parameters());

  backward(*model, rank(), passes(rank()), 0);
  EXPECT_NEAR(optimizer.consensus_distance(), 0.0, 1e-12);
  optimizer.with_mean_model([&] { test::expect_near(model->parameters(), before); });
  optimizer.step();

  expect_gradients(*model, expected);
  EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters())));
}

TEST_F(AllReduceTest, SurvivesHooksThatConversionRemoved) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model));
  model->to(torch::kFloat32);
  model->to(torch::kFloat64);
  const auto expected = mean_gradients(model->parameters(), all_left, 0);
  backward(*model, rank(), {true}, 0);
  optimizer.step();
  expect_gradients(*model, expected);
}

TEST_F(AllReduceTest, CountsNominalBytesAndItsMemory) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model));
  backward(*model, rank(), {true}, 0);
  optimizer.step();

  const auto elements = static_cast<double>(optimizer.flat_model().num_elements());
  const double least = 2.0 * (size() - 1) / size() * elements * 8;
  EXPECT_GE(static_cast<double>(optimizer.counters().bytes_sent), least);
  EXPECT_LE(static_cast<double>(optimizer.counters().bytes_sent), least + 2 * 8 * 72);
  if (size() > 1) {
    EXPECT_GE(static_cast<double>(optimizer.memory_bytes()), elements * 8);
  }
}

TEST_F(AllReduceTest, AFailedPassIsMadeAgainByItsRankAlone) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model), AllReduceOptions().bucket_bytes(64));
  const auto fail_in = [&](torch::Tensor tensor) {
    const auto hook = tensor.register_hook(
        [](const torch::Tensor& gradient) -> torch::Tensor {  // the other branch is through
          throw std::runtime_error("out of memory");
          return gradient;
        });
    EXPECT_ANY_THROW(backward(*model, rank(), {true}, 7));
    tensor.remove_hook(hook);
  };
  for (int step = 0; step < 4; ++step) {
    const auto expected = mean_gradients(model->parameters(), all_left, step);
    optimizer.zero_grad();
    if (rank() == last() && step % 2 == 0) fail_in(model->trunk->weight);
    if (rank() == 0 && step >= 2) fail_in(model->left->bias);
    optimizer.zero_grad();
    backward(*model, rank(), {true}, step);
    optimizer.step();
    expect_gradients(*model, expected);
    EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters()))) << "step " << step;
  }
}

TEST_F(AllReduceTest, RanksMayMakeDifferentNumbersOfPasses) {
  const auto passes = [&](Rank rank) { return Passes(rank == 0 ? 3 : 1, true); };
  expect_means(passes);
  expect_means(passes, AllReduceOptions().bucket_bytes(64));
}

TEST_F(AllReduceTest, AFailedPassDoesNotDisturbOtherCollectiveCalls) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model), AllReduceOptions().bucket_bytes(64));
  const auto before = test::copies_of(model->parameters());
  const auto expected = mean_gradients(model->parameters(), all_left, 0);

  if (rank() == last()) backward(*model, rank(), {false}, 3);  // and no step
  EXPECT_NEAR(optimizer.consensus_distance(), 0.0, 1e-12);
  optimizer.with_mean_model([&] { test::expect_near(model->parameters(), before); });
  optimizer.zero_grad();
  backward(*model, rank(), {true}, 0);
  optimizer.step();

  expect_gradients(*model, expected);
  EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters())));
}

/// One rank waits for the missing one, one for another that waits; so few that each gets a core in
/// time.
TEST_F(AllReduceTest, AStepThatTimedOutLeavesTheModelAndEndsInOrder) {
  if (size() != 3) return;
  for (const std::int64_t bytes : {64, 1 << 20}) {
    const auto model = test::make<Branches>(5);
    {
      AllReduce optimizer(world(), *model, test::sgd(*model),
                          AllReduceOptions().bucket_bytes(bytes).timeout(std::chrono::seconds(3)));
      const auto before = test::copies_of(model->parameters());
      if (rank() != last()) {
        backward(*model, rank(), {true}, 0);
        test::expect_throw<TimeoutError>([&] { optimizer.step(); },
                                         {"for rank " + std::to_string(last()) + " in the mean"});
        test::expect_equal(model->parameters(), before);
        test::expect_throw<Error>([&] { optimizer.step(); }, {"make a new optimizer"});
      }
      MPI_Barrier(MPI_COMM_WORLD);
      optimizer.with_mean_model([&] { test::expect_near(model->parameters(), before); });
    }
    AllReduce optimizer(world(), *model, test::sgd(*model), AllReduceOptions().bucket_bytes(bytes));
    const auto expected = mean_gradients(model->parameters(), all_left, 1);
    optimizer.zero_grad();
    backward(*model, rank(), {true}, 1);
    optimizer.step();
    expect_gradients(*model, expected);
  }
}

TEST_F(AllReduceTest, ANewOptimizerTakesThePlaceOfOneThatFailed) {
  if (size() == 1) return;
  const auto model = test::make<Branches>(5);
  const std::chrono::seconds timeout(rank() == 0 ? 3 : 60);
  auto optimizer = std::make_unique<AllReduce>(world(), *model, test::sgd(*model),
                                               AllReduceOptions().timeout(timeout));
  if (rank() == 0) {
    backward(*model, rank(), {true}, 0);
    test::expect_throw<TimeoutError>([&] { optimizer->step(); }, {"in the mean over"});
  }
  optimizer = std::make_unique<AllReduce>(world(), *model, test::sgd(*model));

  const auto expected = mean_gradients(model->parameters(), all_left, 1);
  optimizer->zero_grad();
  backward(*model, rank(), {true}, 1);
  optimizer->step();
  expect_gradients(*model, expected);
}

TEST_F(AllReduceTest, OneThatEndsWithMeansInFlightDisturbsNoOther) {
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model));
  {
    const auto other = test::make<Branches>(6);
    const AllReduce ends(world(), *other, test::sgd(*other), AllReduceOptions().bucket_bytes(64));
    backward(*other, rank(), {rank() % 2 == 0}, 0);
  }
  const auto expected = mean_gradients(model->parameters(), all_left, 0);
  backward(*model, rank(), {true}, 0);
  optimizer.step();
  expect_gradients(*model, expected);
}

TEST_F(AllReduceTest, ARankThatWasOnlyLateMeetsTheOthersAgain) {
  if (size() != 2) return;
  const auto model = test::make<Branches>(5);
  AllReduce optimizer(world(), *model, test::sgd(*model),
                      AllReduceOptions().timeout(std::chrono::seconds(3)));
  if (rank() == 0) {
    backward(*model, rank(), {true}, 0);
    test::expect_throw<TimeoutError>([&] { optimizer.step(); }, {"for rank 1 in the mean"});
    backward(*model, rank(), {true}, 1);  // of another optimizer, say
  }
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank() == 1) {
    backward(*model, rank(), {true}, 0);
    optimizer.step();
  }

  EXPECT_EQ(optimizer.steps(), rank());
  optimizer.with_mean_model([] {});
  EXPECT_GE(optimizer.consensus_distance(), 0.0);
}

TEST_F(AllReduceTest, NamesTheRankThatLeftWhileOthersWaitForTheirMean) {
  if (size() == 1) return;
  const auto model = test::make<Branches>(5);
  {
    AllReduce optimizer(world(), *model, test::sgd(*model),
                        AllReduceOptions().timeout(std::chrono::seconds(20)));
    backward(*model, rank(), {true}, 0);
    optimizer.step();
    backward(*model, rank(), {true}, 1);
    if (rank() != 0) {
      test::expect_throw<Error>([&] { optimizer.step(); },
                                {"Rank 0 left the training loop after 1 steps"});
    }
    optimizer.with_mean_model([] {});  // the others come to it when they know where rank 0 is
    test::expect_throw<Error>([&] { optimizer.step(); }, {"make a new optimizer"});
  }
  EXPECT_TRUE(is_same_everywhere("still in step"));
}

}  // namespace
}  // namespace gossip::optim
