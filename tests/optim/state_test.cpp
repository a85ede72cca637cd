// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include <libgossip/optim/bias_corrected.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::Normed;

using Make =
    std::function<std::unique_ptr<Decentralized>(transport::Group&, torch::nn::Module&, int size)>;

std::unique_ptr<torch::optim::Optimizer> momentum(torch::nn::Module& model) {
  return std::make_unique<torch::optim::SGD>(test::sgd(model, 0.05, 0.9));
}

std::unique_ptr<torch::optim::Optimizer> adamw(torch::nn::Module& model) {
  return std::make_unique<torch::optim::AdamW>(model.parameters(),
                                               torch::optim::AdamWOptions(0.01));
}

Make gossip_sgd(MixingOrder order, std::int64_t local_steps) {
  return [=](transport::Group& group, torch::nn::Module& model, int size) {
    return std::make_unique<GossipSGD>(group, model, momentum(model),
                                       topology::random_matching(size, 5),
                                       GossipSGDOptions().order(order).local_steps(local_steps));
  };
}

Make gradient_tracking(TrackingOrder order) {
  return [=](transport::Group& group, torch::nn::Module& model, int size) {
    return std::make_unique<GradientTracking>(group, model, momentum(model),
                                              topology::random_matching(size, 5),
                                              GradientTrackingOptions().order(order));
  };
}

std::unique_ptr<Decentralized> exact_diffusion(transport::Group& group, torch::nn::Module& model,
                                               int size) {
  return std::make_unique<ExactDiffusion>(group, model, momentum(model), topology::ring(size));
}

std::unique_ptr<Decentralized> all_reduce(transport::Group& group, torch::nn::Module& model, int) {
  return std::make_unique<AllReduce>(group, model, adamw(model));
}

class StateTest : public test::OptimTest {
 protected:
  void train(Normed& model, Decentralized& optimizer, int first, int end) const {
    for (int step = first; step < end; ++step) {
      optimizer.zero_grad();
      test::loss(model, rank(), step).backward();
      optimizer.step();
    }
  }

  template <class Thing>
  [[nodiscard]] static std::string saved(const Thing& thing) {
    torch::serialize::OutputArchive archive;
    thing.save(archive);
    std::ostringstream stream;
    archive.save_to(stream);
    return stream.str();
  }

  template <class Thing>
  static void load(Thing& thing, const std::string& bytes) {
    std::istringstream stream(bytes);
    torch::serialize::InputArchive archive;
    archive.load_from(stream);
    thing.load(archive);
  }
};

TEST_F(StateTest, ContinuesToTheBit) {
  for (const Make& make :
       {gossip_sgd(MixingOrder::kAdaptThenCombine, 1),
        gossip_sgd(MixingOrder::kCombineThenAdapt, 2), gossip_sgd(MixingOrder::kDiffusion, 3),
        Make(all_reduce), gradient_tracking(TrackingOrder::kSemiATC),
        gradient_tracking(TrackingOrder::kATC), Make(exact_diffusion)}) {
    const auto model = test::make<Normed>(2);
    const auto optimizer = make(world(), *model, size());
    train(*model, *optimizer, 0, 4);
    optimizer->param_groups()[0].options().set_lr(0.02);
    const std::string model_state = saved(*model);
    const std::string optimizer_state = saved(*optimizer);
    train(*model, *optimizer, 4, 9);

    const auto again = test::make<Normed>(77);
    const auto resumed = make(world(), *again, size());
    load(*again, model_state);
    load(*resumed, optimizer_state);
    EXPECT_EQ(resumed->steps(), 4);
    EXPECT_EQ(resumed->param_groups()[0].options().get_lr(), 0.02);
    train(*again, *resumed, 4, 9);

    test::expect_equal(again->parameters(), model->parameters());
    test::expect_equal(again->buffers(), model->buffers());
    EXPECT_EQ(resumed->steps(), optimizer->steps());
  }
}

TEST_F(StateTest, SavingChangesNothing) {
  const auto model = test::make<Normed>(2);
  const auto twin = test::make<Normed>(2);
  const auto optimizer = gossip_sgd(MixingOrder::kAdaptThenCombine, 1)(world(), *model, size());
  const auto without = gossip_sgd(MixingOrder::kAdaptThenCombine, 1)(world(), *twin, size());
  for (int step = 0; step < 4; ++step) {
    train(*model, *optimizer, step, step + 1);
    EXPECT_FALSE(saved(*optimizer).empty());
  }
  train(*twin, *without, 0, 4);
  test::expect_equal(model->parameters(), twin->parameters());
}

TEST_F(StateTest, RefusesTheStateOfAnotherMethod) {
  const auto model = test::make<Normed>(2);
  const auto gossip = gossip_sgd(MixingOrder::kAdaptThenCombine, 1)(world(), *model, size());
  const auto other = test::make<Normed>(2);
  const auto baseline = all_reduce(world(), *other, size());
  train(*other, *baseline, 0, 2);

  test::expect_throw<Error>([&] { load(*baseline, saved(*gossip)); },
                            {"state of 'gossip-sgd'", "this optimizer is 'allreduce'"});
  test::expect_throw<Error>([&] { load(*gossip, saved(test::sgd(*model))); },
                            {"not the state of a decentralized optimizer", "'gossip-sgd'"});

  EXPECT_EQ(baseline->steps(), 2) << "a refused archive changed the optimizer";
  train(*other, *baseline, 2, 3);
  EXPECT_EQ(baseline->steps(), 3);
}

}  // namespace
}  // namespace gossip::optim
