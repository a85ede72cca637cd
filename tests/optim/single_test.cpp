// SPDX-License-Identifier: Apache-2.0
// On one rank every optimizer gives the bits that LibTorch alone gives.
#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::Normed;

using MakeLocal =
    std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<torch::Tensor>)>;
using Wrap = std::function<std::unique_ptr<Decentralized>(
    transport::Group&, torch::nn::Module&, std::unique_ptr<torch::optim::Optimizer>)>;

std::unique_ptr<torch::optim::Optimizer> make_sgd(std::vector<torch::Tensor> parameters) {
  return std::make_unique<torch::optim::SGD>(
      std::move(parameters), torch::optim::SGDOptions(0.05).momentum(0.9).weight_decay(0.01));
}

std::unique_ptr<torch::optim::Optimizer> make_adamw(std::vector<torch::Tensor> parameters) {
  return std::make_unique<torch::optim::AdamW>(std::move(parameters),
                                               torch::optim::AdamWOptions(0.01));
}

Wrap gossip_sgd(MixingOrder order) {
  return [order](transport::Group& group, torch::nn::Module& module,
                 std::unique_ptr<torch::optim::Optimizer> local) {
    return std::make_unique<GossipSGD>(group, module, std::move(local), topology::ring(1),
                                       GossipSGDOptions().order(order));
  };
}

std::unique_ptr<Decentralized> all_reduce(transport::Group& group, torch::nn::Module& module,
                                          std::unique_ptr<torch::optim::Optimizer> local) {
  return std::make_unique<AllReduce>(group, module, std::move(local));
}

class SingleRank : public test::OptimTest {
 protected:
  /// Trains twins in single precision, one of them plainly.
  template <class Module>
  void expect_same_bits(const MakeLocal& make_local, const Wrap& wrap) {
    const auto plain = test::make<Module>(1);
    const auto wrapped = test::make<Module>(1);
    plain->to(torch::kFloat32);
    wrapped->to(torch::kFloat32);
    const auto plain_optimizer = make_local(plain->parameters());
    const auto optimizer = wrap(world(), *wrapped, make_local(wrapped->parameters()));
    const auto step = [](Module& module, torch::optim::Optimizer& local, int number) {
      local.zero_grad();
      module.forward(test::batch(0, number).to(torch::kFloat32)).square().mean().backward();
      local.step();
    };

    for (int number = 0; number < 6; ++number) {
      step(*plain, *plain_optimizer, number);
      step(*wrapped, *optimizer, number);
    }

    test::expect_equal(wrapped->parameters(), plain->parameters());
    test::expect_equal(wrapped->buffers(), plain->buffers());
    for (std::size_t i = 0; i < plain->parameters().size(); ++i) {
      EXPECT_EQ(wrapped->parameters()[i].grad().defined(), plain->parameters()[i].grad().defined());
    }
    EXPECT_EQ(optimizer->steps(), 6);
  }
};

TEST_F(SingleRank, BitsArePlainLibTorchs) {
  ASSERT_EQ(size(), 1);
  for (const MakeLocal& make_local : {MakeLocal(make_sgd), MakeLocal(make_adamw)}) {
    for (const Wrap& wrap :
         {gossip_sgd(MixingOrder::kAdaptThenCombine), gossip_sgd(MixingOrder::kCombineThenAdapt),
          gossip_sgd(MixingOrder::kDiffusion), Wrap(all_reduce)}) {
      expect_same_bits<Branches>(make_local, wrap);
      expect_same_bits<Normed>(make_local, wrap);
    }
  }
}

TEST_F(SingleRank, NothingIsSent) {
  const auto model = test::make<Branches>(1);
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::one_peer_exponential(1));
  test::loss(*model, 0, 0).backward();
  optimizer.step();
  EXPECT_EQ(optimizer.counters().bytes_sent, 0U);
  EXPECT_EQ(optimizer.memory_bytes(), 0U);
  EXPECT_EQ(optimizer.consensus_distance(), 0.0);
  bool was_called = false;
  optimizer.with_mean_model([&] { was_called = true; });
  EXPECT_TRUE(was_called);
}

}  // namespace
}  // namespace gossip::optim
