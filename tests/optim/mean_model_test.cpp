// SPDX-License-Identifier: Apache-2.0
#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::Normed;

/// Everything in a module that is a tensor.
std::vector<torch::Tensor> all_of(const torch::nn::Module& module) {
  std::vector<torch::Tensor> all = test::copies_of(module.parameters());
  for (const torch::Tensor& buffer : test::copies_of(module.buffers())) all.push_back(buffer);
  return all;
}

class MeanModelTest : public test::OptimTest {
 protected:
  /// A model that differs by rank in parameters and statistics.
  [[nodiscard]] std::shared_ptr<Normed> own_model(Rank rank) const {
    auto model = test::make<Normed>(static_cast<std::uint64_t>(rank) + 10);
    for (int step = 0; step <= rank; ++step) model->forward(test::batch(rank, step));
    return model;
  }

  /// The mean of what all ranks start with; of integers rank 0's.
  [[nodiscard]] std::vector<torch::Tensor> mean_of_starts() const {
    std::vector<torch::Tensor> mean = all_of(*own_model(0));
    for (Rank other = 1; other < size(); ++other) {
      const auto theirs = all_of(*own_model(other));
      for (std::size_t i = 0; i < mean.size(); ++i) {
        if (mean[i].is_floating_point()) mean[i] += theirs[i];
      }
    }
    for (torch::Tensor& tensor : mean) {
      if (tensor.is_floating_point()) tensor /= size();
    }
    return mean;
  }

  [[nodiscard]] std::shared_ptr<Normed> start(Initial initial) const {
    auto model = own_model(rank());
    const GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                              GossipSGDOptions().initial(initial));
    return model;
  }
};

TEST_F(MeanModelTest, StartsFromRankZerosModel) {
  test::expect_equal(all_of(*start(Initial::kBroadcast)), all_of(*own_model(0)));
  const auto with_all_reduce = own_model(rank());
  const AllReduce optimizer(world(), *with_all_reduce, test::sgd(*with_all_reduce));
  test::expect_equal(all_of(*with_all_reduce), all_of(*own_model(0)));
}

TEST_F(MeanModelTest, StartsFromTheMean) {
  test::expect_near(all_of(*start(Initial::kMean)), mean_of_starts());
}

TEST_F(MeanModelTest, StartsFromItsOwn) {
  test::expect_equal(all_of(*start(Initial::kKeep)), all_of(*own_model(rank())));
}

TEST_F(MeanModelTest, FrozenParametersStartAlikeToo) {
  const auto model = test::make<Branches>(static_cast<std::uint64_t>(rank()) + 10);
  const GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()));
  EXPECT_TRUE(torch::equal(model->frozen, test::make<Branches>(10)->frozen));
}

TEST_F(MeanModelTest, PutsTheMeanInAndTheOwnBack) {
  const auto model = own_model(rank());
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto own = all_of(*model);
  auto mean = mean_of_starts();
  const std::size_t batches = mean.size() - 1;  // the last buffer, an integer, is not averaged
  EXPECT_FALSE(mean[batches].is_floating_point());
  mean[batches] = own[batches];

  int calls = 0;
  optimizer.with_mean_model([&] {
    ++calls;
    test::expect_near(all_of(*model), mean);
  });

  EXPECT_EQ(calls, 1);
  test::expect_equal(all_of(*model), own);
}

TEST_F(MeanModelTest, PutsTheOwnBackWhenTheBodyThrows) {
  const auto model = own_model(rank());
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto own = all_of(*model);

  EXPECT_THROW(optimizer.with_mean_model([] { throw std::runtime_error("on purpose"); }),
               std::runtime_error);

  test::expect_equal(all_of(*model), own);
}

TEST_F(MeanModelTest, ConsensusDistanceIsTheRootOfTheMeanSquare) {
  const auto model = own_model(rank());
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto mean = mean_of_starts();
  double squares = 0.0;
  for (Rank other = 0; other < size(); ++other) {
    const auto theirs = test::copies_of(own_model(other)->parameters());
    for (std::size_t i = 0; i < theirs.size(); ++i)
      squares += (theirs[i] - mean[i]).square().sum().item<double>();
  }

  const double distance = optimizer.consensus_distance();

  EXPECT_NEAR(distance, std::sqrt(squares / size()), 1e-12);
  EXPECT_TRUE(is_same_everywhere(std::to_string(distance)));
  if (size() > 1) {
    EXPECT_GT(distance, 0.1);
  }
}

}  // namespace
}  // namespace gossip::optim
