// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include <libgossip/optim/bias_corrected.h>
#include <libgossip/optim/factory.h>
#include <libgossip/optim/local_steps.h>

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

/// Some of its steps begin with a mixing that the state has behind it, others do not.
TEST_F(StateTest, GoesBackToTheBitFromEveryStep) {
  const auto copied = [](const Normed& model) {
    auto copies = test::copies_of(model.parameters());
    for (const torch::Tensor& buffer : model.buffers()) copies.push_back(buffer.clone());
    return copies;
  };
  const Make make = gossip_sgd(MixingOrder::kDiffusion, 3);
  for (int back = 0; back < 7; ++back) {
    const auto model = test::make<Normed>(2);
    const auto optimizer = make(world(), *model, size());
    train(*model, *optimizer, 0, back);
    const std::string model_state = saved(*model);
    const std::string state = saved(*optimizer);
    train(*model, *optimizer, back, 10);
    const auto expected = copied(*model);
    for (int from = 7; from < 10; ++from) {
      load(*model, model_state);
      load(*optimizer, state);
      train(*model, *optimizer, back, from);
      load(*model, model_state);
      load(*optimizer, state);
      train(*model, *optimizer, back, 10);
      test::expect_equal(copied(*model), expected);
    }
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

/// A local optimizer that the library does not know.
class Custom final : public torch::optim::SGD {
 public:
  using SGD::SGD;
};

template <class Local, class Options>
std::unique_ptr<torch::optim::Optimizer> local(torch::nn::Module& model, const Options& options) {
  return std::make_unique<Local>(model.parameters(), options);
}

using MakeLocal = std::function<std::unique_ptr<torch::optim::Optimizer>(torch::nn::Module&)>;

std::vector<std::pair<std::string, MakeLocal>> local_optimizers() {
  namespace to = torch::optim;
  return {{"sgd", [](auto& m) { return local<to::SGD>(m, to::SGDOptions(0.05).momentum(0.9)); }},
          {"adam", [](auto& m) { return local<to::Adam>(m, to::AdamOptions(0.01).amsgrad(true)); }},
          {"adamw", [](auto& m) { return local<to::AdamW>(m, to::AdamWOptions(0.01)); }},
          {"rmsprop",
           [](auto& m) {
             return local<to::RMSprop>(m, to::RMSpropOptions(0.01).momentum(0.5).centered(true));
           }},
          {"adagrad", [](auto& m) { return local<to::Adagrad>(m, to::AdagradOptions(0.05)); }},
          {"Custom", [](auto& m) { return local<Custom>(m, to::SGDOptions(0.05).momentum(0.9)); }}};
}

std::unique_ptr<Decentralized> with(transport::Group& group, torch::nn::Module& model,
                                    std::unique_ptr<torch::optim::Optimizer> local) {
  return std::make_unique<GossipSGD>(group, model, std::move(local), topology::ring(group.size()));
}

TEST_F(StateTest, EveryLocalOptimizerContinuesToTheBit) {
  for (const auto& [name, make_local] : local_optimizers()) {
    for (const bool is_archive : {false, true}) {
      const auto model = test::make<Normed>(2);
      const auto optimizer = with(world(), *model, make_local(*model));
      train(*model, *optimizer, 0, 4);
      optimizer->param_groups()[0].options().set_lr(0.02);
      const std::string model_state = saved(*model);
      const std::string archive = saved(*optimizer);
      model::StateDict state;  // copies, as those of a checkpoint
      for (const auto& entry : optimizer->state_dict().tensors) {
        state.add(entry.name, entry.tensor.clone());
      }
      state.values = optimizer->state_dict().values;
      train(*model, *optimizer, 4, 7);

      const auto again = test::make<Normed>(77);
      const auto resumed = with(world(), *again, make_local(*again));
      train(*again, *resumed, 0, 2);  // what it had is replaced
      load(*again, model_state);
      is_archive ? load(*resumed, archive) : resumed->load_state_dict(state);
      EXPECT_EQ(resumed->param_groups()[0].options().get_lr(), 0.02) << name;
      train(*again, *resumed, 4, 7);

      test::expect_equal(again->parameters(), model->parameters());
      EXPECT_FALSE(HasFailure()) << name << " archive " << is_archive;
    }
  }
}

TEST_F(StateTest, TensorsOfKnownLocalOptimizersAreTheLiveOnes) {
  const auto model = test::make<Normed>(2);
  const auto optimizer = with(world(), *model, momentum(*model));
  train(*model, *optimizer, 0, 1);
  const model::StateDict before = optimizer->state_dict();
  const auto found = std::ranges::find(before.tensors, "local.first.weight.momentum_buffer",
                                       &model::NamedTensor::name);
  ASSERT_NE(found, before.tensors.end());
  const torch::Tensor copy = found->tensor.clone();
  train(*model, *optimizer, 1, 2);
  EXPECT_FALSE(torch::equal(found->tensor, copy));
}

TEST_F(StateTest, WhatDoesNotFitIsRefusedBeforeAnythingChanges) {
  const auto model = test::make<Normed>(2);
  const auto optimizer = gossip_sgd(MixingOrder::kAdaptThenCombine, 2)(world(), *model, size());
  train(*model, *optimizer, 0, 3);
  const auto copied = [](const Decentralized& from) {
    model::StateDict state;
    const model::StateDict live = from.state_dict();
    for (const auto& entry : live.tensors) state.add(entry.name, entry.tensor.clone());
    state.values = live.values;
    return state;
  };
  const std::string before = saved(*optimizer);
  const auto refused = [&](const model::StateDict& state, const std::vector<std::string>& parts) {
    test::expect_throw<Error>([&] { optimizer->load_state_dict(state); }, parts);
    EXPECT_EQ(saved(*optimizer), before) << "a refused state changed the optimizer";
  };

  const auto twin = test::make<Normed>(2);
  refused(copied(*gossip_sgd(MixingOrder::kCombineThenAdapt, 2)(world(), *twin, size())),
          {"saved with the options", "take the ones"});
  refused(copied(*std::make_unique<GossipSGD>(
              world(), *twin, adamw(*twin), topology::random_matching(size(), 5),
              GossipSGDOptions().order(MixingOrder::kAdaptThenCombine).local_steps(2))),
          {"local optimizer 'adamw'", "this one is 'sgd'"});
  const auto branches = test::make<Branches>(2);
  refused(copied(*gossip_sgd(MixingOrder::kAdaptThenCombine, 2)(world(), *branches, size())),
          {"parameters", "trunk.weight", "first.weight"});

  model::StateDict state = copied(*optimizer);
  state.tensors.back().tensor = torch::zeros({2, 2}, torch::kFloat64);
  refused(state, {"last.bias.momentum_buffer'", "Double [2, 2]", "Double [3]"});
  state = copied(*optimizer);
  state.tensors.back().tensor = state.tensors.back().tensor.to(torch::kFloat);
  refused(state, {"momentum_buffer'", "Float [3]", "Double [3]"});
  state = copied(*optimizer);
  state.add("local.more", torch::zeros({1}));
  refused(state, {"'more'", "no place here"});
  state = copied(*optimizer);
  state.add("unheard", Value(1.0));
  refused(state, {"'unheard'", "no place here"});
  state = copied(*optimizer);
  std::erase_if(state.values, [](const auto& entry) { return entry.name == "weight"; });
  refused(state, {"lacks the value 'weight'"});
  state = copied(*optimizer);
  for (auto& entry : state.values) {
    if (entry.name == "step") entry.value = 2.0;
  }
  refused(state, {"'step'", "another type"});
}

/// Throws in a step when it is told to.
class Failing final : public torch::optim::SGD {
 public:
  explicit Failing(const torch::nn::Module& model) : SGD(model.parameters(), 0.05) {}
  torch::Tensor step(LossClosure closure = nullptr) override {
    if (std::exchange(fails, false)) throw std::runtime_error("on purpose");
    return SGD::step(closure);
  }
  bool fails = false;
};

TEST_F(StateTest, AStepThatFailedInTheMiddleHasNone) {
  for (const char* name : {"gossip-sgd", "qg-dsgdm", "push-sum", "slowmo"}) {
    SCOPED_TRACE(name);
    const auto model = test::make<Normed>(2);
    auto made = std::make_unique<Failing>(*model);
    Failing& local = *made;
    const auto optimizer = optim::make_optimizer(name, world(), *model, std::move(made),
                                                 topology::complete(size()), {});
    train(*model, *optimizer, 0, 2);
    const std::string before = saved(*optimizer);
    const auto fail = [&] {
      local.fails = true;
      EXPECT_THROW(train(*model, *optimizer, 2, 3), std::runtime_error);
      test::expect_throw<Error>([&] { static_cast<void>(optimizer->state_dict()); },
                                {"failed in the middle", name, "save the module"});
      EXPECT_THROW(static_cast<void>(saved(*optimizer)), Error);
    };
    fail();
    load(*optimizer, before);
    EXPECT_EQ(saved(*optimizer), before);
    fail();
    train(*model, *optimizer, 2, 3);
    EXPECT_EQ(optimizer->steps(), 3);
    EXPECT_FALSE(saved(*optimizer).empty());
  }
}

TEST_F(StateTest, AStepThatWasRefusedLeavesItAsItWas) {
  const auto model = test::make<Normed>(2);
  SlowMo optimizer(world(), *model, test::sgd(*model, 0.05), SlowMoOptions().local_steps(1));
  train(*model, optimizer, 0, 2);
  if (size() > 1) {
    const auto guard = optimizer.no_sync();
    test::expect_throw<Error>([&] { optimizer.step(); }, {"under no_sync()"});
  }
  EXPECT_FALSE(saved(optimizer).empty());
  optimizer.param_groups()[0].options().set_lr(0.0);
  test::expect_throw<Error>([&] { optimizer.step(); }, {"The learning rate is 0"});
  EXPECT_FALSE(saved(optimizer).empty());
}

/// A block under two names, and weights that are tied by their memory.
struct Shared : torch::nn::Module {
  Shared() {
    block = register_module("block", torch::nn::Linear(4, 4));
    again = register_module("again", block);
    norm = register_module("norm", torch::nn::BatchNorm1d(4));
    norm_again = register_module("norm_again", norm);
    last = register_module("last", torch::nn::Linear(4, 4));
    last->weight.set_data(block->weight.data());
  }
  torch::Tensor forward(const torch::Tensor& x) { return last(norm_again(again(norm(block(x))))); }
  torch::nn::Linear block{nullptr}, again{nullptr}, last{nullptr};
  torch::nn::BatchNorm1d norm{nullptr}, norm_again{nullptr};
};

TEST_F(StateTest, SharedBlocksAndTiedWeightsContinueToTheBit) {
  for (const char* name : {"gossip-sgd", "allreduce", "gradient-tracking", "slowmo", "extra"}) {
    SCOPED_TRACE(name);
    const auto make_optimizer = [&](Shared& model) {
      return optim::make_optimizer(name, world(), model,
                                   std::make_unique<torch::optim::SGD>(test::sgd(model, 0.05, 0.5)),
                                   topology::complete(size()), {});
    };
    const auto step = [&](Shared& model, Decentralized& optimizer, int number) {
      optimizer.zero_grad();
      model.forward(test::batch(rank(), number)).square().mean().backward();
      optimizer.step();
    };
    const auto model = test::make<Shared>(2);
    const auto optimizer = make_optimizer(*model);
    for (int number = 0; number < 3; ++number) step(*model, *optimizer, number);
    const model::StateDict live = optimizer->state_dict();
    std::unordered_set<std::string> names;
    for (const auto& entry : live.tensors)
      EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    const std::string model_state = saved(*model);
    const std::string optimizer_state = saved(*optimizer);
    for (int number = 3; number < 6; ++number) step(*model, *optimizer, number);

    const auto again = test::make<Shared>(77);
    const auto resumed = make_optimizer(*again);
    load(*again, model_state);
    load(*resumed, optimizer_state);
    for (int number = 3; number < 6; ++number) step(*again, *resumed, number);

    test::expect_equal(again->parameters(), model->parameters());
    test::expect_equal(again->buffers(), model->buffers());
    EXPECT_EQ(again->last->weight.data_ptr(), again->block->weight.data_ptr());
  }
}

}  // namespace
}  // namespace gossip::optim
