// SPDX-License-Identifier: Apache-2.0
// What a program does to the module while an optimizer holds it, for every optimizer.
#include <libgossip/optim/factory.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using Module = std::shared_ptr<torch::nn::SequentialImpl>;

class ModuleLifeTest : public test::OptimTest {
 protected:
  /// Two layers, the first of them frozen.
  [[nodiscard]] static Module make_module() {
    torch::manual_seed(4);
    auto module = std::make_shared<torch::nn::SequentialImpl>(
        torch::nn::Linear(4, 3), torch::nn::Tanh(), torch::nn::Linear(3, 3));
    for (torch::Tensor& parameter : module->ptr(0)->parameters()) parameter.requires_grad_(false);
    return module;
  }

  [[nodiscard]] std::unique_ptr<Decentralized> make_optimizer(std::string_view name,
                                                              torch::nn::Module& module) const {
    return optim::make_optimizer(
        name, world(), module, std::make_unique<torch::optim::SGD>(test::sgd(module, 0.05)),
        topology::ring(size()),
        {.weight_decay = 0.1, .lipschitz = 10.0, .timeout = std::chrono::seconds(30)});
  }

  void backward(torch::nn::SequentialImpl& module, int step) const {
    const torch::Tensor input = test::batch(rank(), step).to(torch::kFloat);
    module.forward(input).square().mean().backward();
  }

  void train(Module& module, Decentralized& optimizer, int steps) const {
    for (int step = 0; step < steps; ++step) {
      optimizer.zero_grad();
      backward(*module, step);
      optimizer.step();
    }
  }

  using Body = std::function<void(Module& module, std::unique_ptr<Decentralized>& optimizer)>;

  /// A fresh module and optimizer for every name.
  void for_each(const Body& body) const {
    for (const OptimizerName& name : optimizer_names()) run(name.name, body);
  }

  /// The same for one method of each kind of worker.
  void for_some(const Body& body) const {
    for (const char* name :
         {"gossip-sgd", "allreduce", "push-sum", "async-gossip", "ad-psgd", "dadao"}) {
      run(name, body);
    }
  }

  void run(std::string_view name, const Body& body) const {
    SCOPED_TRACE(name);
    Module module = make_module();
    std::unique_ptr<Decentralized> optimizer = make_optimizer(name, *module);
    train(module, *optimizer, 2);
    body(module, optimizer);
  }

  /// Makes a step that is refused.
  void expect_refused(Decentralized& optimizer, const std::vector<std::string>& parts) const {
    const std::int64_t steps = optimizer.steps();
    test::expect_throw<Error>([&] { optimizer.step(); }, parts);
    EXPECT_EQ(optimizer.steps(), steps);
  }
};

/// What may happen to a module before its optimizer goes.
struct Change {
  const char* name;
  std::function<void(torch::nn::SequentialImpl& module, Decentralized& optimizer)> make;
  bool is_refused;        // by the next step
  bool is_usual = false;  // tried with every method
};

void unfreeze(torch::nn::SequentialImpl& module, Decentralized& /*optimizer*/) {
  for (torch::Tensor& parameter : module.parameters()) parameter.requires_grad_(true);
}

void freeze(torch::nn::SequentialImpl& module, Decentralized& /*optimizer*/) {
  for (torch::Tensor& parameter : module.parameters()) parameter.requires_grad_(false);
}

void to_double(torch::nn::SequentialImpl& module, Decentralized& /*optimizer*/) {
  module.to(torch::kFloat64);
}

void reshape(torch::nn::SequentialImpl& module, Decentralized& /*optimizer*/) {
  module.ptr<torch::nn::LinearImpl>(2)->weight.set_data(torch::ones({9}));
}

void untangle(torch::nn::SequentialImpl& module, Decentralized& /*optimizer*/) {
  for (torch::Tensor& parameter : module.parameters())
    parameter.set_data(torch::rand_like(parameter));
}

void turn(torch::nn::SequentialImpl& module, Decentralized& /*optimizer*/) {
  torch::Tensor& weight = module.ptr<torch::nn::LinearImpl>(2)->weight;
  weight.set_data(weight.data().t());
}

void grow(torch::nn::SequentialImpl& module, Decentralized& optimizer) {
  const torch::nn::Linear added(3, 2);
  module.push_back(added);
  optimizer.add_param_group(torch::optim::OptimizerParamGroup(added->parameters()));
}

void grow_group(torch::nn::SequentialImpl& module, Decentralized& optimizer) {
  const torch::nn::Linear added(3, 2);
  module.push_back(added);
  optimizer.param_groups()[0].params().push_back(added->weight);
}

const std::vector<Change>& changes() {
  static const std::vector<Change> kChanges{
      {"unfreeze", unfreeze, true, true},
      {"freeze", freeze, false},
      {"to_double", to_double, true, true},
      {"reshape", reshape, true},
      {"turn", turn, true},
      {"untangle", untangle, false},
      {"grow", grow, true},
      {"grow_group", grow_group, true},
  };
  return kChanges;
}

TEST_F(ModuleLifeTest, EveryOptimizerEndsWhateverWasDoneToTheModule) {
  for (const Change& change : changes()) {
    SCOPED_TRACE(change.name);
    const Body body = [&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
      optimizer->paused([] {});  // nothing is on its way any more
      change.make(*module, *optimizer);
      const auto expected = test::copies_of(module->parameters());
      optimizer.reset();
      test::expect_equal(module->parameters(), expected);
    };
    change.is_usual ? for_each(body) : for_some(body);
  }
  EXPECT_TRUE(is_same_everywhere("still in step"));
}

TEST_F(ModuleLifeTest, EveryOptimizerEndsAfterAnErrorThatWasCaught) {
  for (const Change& change : changes()) {
    if (!change.is_refused) continue;
    SCOPED_TRACE(change.name);
    for_some([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
      change.make(*module, *optimizer);
      EXPECT_THROW(optimizer->step(), Error);
      optimizer.reset();
      module->to(torch::kFloat64);
    });
  }
  for_each([&](Module& /*module*/, std::unique_ptr<Decentralized>& optimizer) {
    EXPECT_THROW(optimizer->with_mean_model([] { throw std::runtime_error("on purpose"); }),
                 std::runtime_error);
    EXPECT_THROW(optimizer->paused([] { throw std::runtime_error("on purpose"); }),
                 std::runtime_error);
    optimizer.reset();
  });
  EXPECT_TRUE(is_same_everywhere("still in step"));
}

TEST_F(ModuleLifeTest, WhatTrainsLaterIsRefusedUnlessItIsMixed) {
  for_each([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    grow(*module, *optimizer);
    expect_refused(*optimizer, {"shape 2x3", "without being mixed", "a new optimizer"});
  });
  for_some([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    grow_group(*module, *optimizer);
    expect_refused(*optimizer, {"shape 2x3", "without being mixed", "a new optimizer"});
  });
  for_some([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    unfreeze(*module, *optimizer);
    expect_refused(*optimizer, {"'0.weight'", "was frozen", "a new optimizer"});
  });
  // A frozen tensor in a group, which is no parameter of the module.
  const Module module = make_module();
  torch::Tensor outside = torch::rand({2, 2});
  auto parameters = module->parameters();
  parameters.push_back(outside);
  GossipSGD optimizer(world(), *module, torch::optim::SGD(parameters, 0.1), topology::ring(size()));
  outside.requires_grad_(true);
  test::expect_throw<Error>([&] { optimizer.step(); }, {"shape 2x2", "without being mixed"});
}

TEST_F(ModuleLifeTest, WhatIsFrozenLaterIsNotMovedByTrackersAndMomentum) {
  for (const char* name :
       {"gradient-tracking", "push-pull", "push-pull-device-sampling", "push-diging", "kgt", "lsgt",
        "scaffold", "qg-dsgdm", "decentlam", "momentum-tracking", "ef-sgd"}) {
    run(name, [&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
      torch::Tensor& bias = module->ptr<torch::nn::LinearImpl>(2)->bias;
      bias.requires_grad_(false);
      {
        const torch::NoGradGuard no_grad;
        bias.fill_(0.25);  // on all ranks, so that mixing leaves it
      }
      const torch::Tensor before = module->ptr<torch::nn::LinearImpl>(2)->weight.detach().clone();
      train(module, *optimizer, 3);
      EXPECT_LE((bias - 0.25).abs().max().item<double>(), 1e-6);
      EXPECT_FALSE(torch::equal(module->ptr<torch::nn::LinearImpl>(2)->weight, before));
    });
  }
}

TEST_F(ModuleLifeTest, LayersThatAreAddedAreNamedWhenTheMeanIsAskedFor) {
  for_some([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    module->push_back(torch::nn::Linear(3, 2));
    const std::vector<std::string> parts{"'3.weight'", "registered after", "a new optimizer"};
    test::expect_throw<Error>([&] { optimizer->with_mean_model([] {}); }, parts);
    test::expect_throw<Error>([&] { static_cast<void>(optimizer->consensus_distance()); }, parts);
  });
}

TEST_F(ModuleLifeTest, KeptTensorsStayReadable) {
  for_each([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    std::vector<torch::Tensor> kept;
    for (const torch::Tensor& parameter : module->parameters()) kept.push_back(parameter.detach());
    std::vector<torch::Tensor> expected;
    optimizer->paused([&] { expected = test::copies_of(module->parameters()); });
    optimizer.reset();
    test::expect_equal(kept, expected);
    module.reset();
    test::expect_equal(kept, expected);
  });
}

TEST_F(ModuleLifeTest, WeightsThatAreSwappedForAnEvaluationAreNotLost) {
  for_each([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    std::vector<torch::Tensor> trained;
    optimizer->paused([&] { trained = test::copies_of(module->parameters()); });
    auto parameters = module->parameters();
    const auto in_optimizer = [&] {
      return model::tensor_of(optimizer->flat_model().parameters()[0]).clone();
    };
    const torch::Tensor mixed = in_optimizer();
    std::vector<torch::Tensor> saved;
    for (torch::Tensor& parameter : parameters) {
      saved.push_back(parameter.data());
      parameter.set_data(torch::full_like(parameter, rank() + 1.0));
    }
    const void* swapped = parameters[2].data_ptr();
    EXPECT_GE(optimizer->consensus_distance(), 0.0);
    optimizer->with_mean_model([&] {
      if (optimizer->name() == "push-sum") return;  // its mean is weighted
      for (const torch::Tensor& parameter : parameters) {
        if (!parameter.requires_grad()) continue;
        EXPECT_LT((parameter - (size() + 1.0) / 2).abs().max().item<float>(), 1e-5);
      }
    });
    EXPECT_EQ(parameters[2].data_ptr(), swapped);
    EXPECT_TRUE(torch::equal(in_optimizer(), mixed)) << "neighbors would mix what was swapped in";
    for (std::size_t i = 0; i < saved.size(); ++i) parameters[i].set_data(saved[i]);
    optimizer->paused([&] { test::expect_equal(module->parameters(), trained); });
    train(module, *optimizer, 1);
    for (std::size_t i = 2; i < saved.size(); ++i) {
      EXPECT_LT((parameters[i] - trained[i]).abs().max().item<float>(), 0.5);
    }
  });
}

TEST_F(ModuleLifeTest, StepsAreRefusedWhereNobodyTrains) {
  for_each([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    optimizer->with_mean_model([&] {
      backward(*module, 7);
      expect_refused(*optimizer, {"inside with_mean_model()", "before or after"});
      test::expect_throw<Error>([&] { optimizer->with_mean_model([] {}); },
                                {"with_mean_model() was called inside", "before or after"});
      test::expect_throw<Error>([&] { optimizer->paused([] {}); }, {"paused() was called inside"});
      test::expect_throw<Error>([&] { static_cast<void>(optimizer->consensus_distance()); },
                                {"consensus_distance() was called inside"});
      test::expect_throw<Error>([&] { static_cast<void>(optimizer->state_dict()); },
                                {"state_dict() was called inside"});
    });
    model::StateDict state;
    int calls = 0;
    optimizer->paused([&] {
      expect_refused(*optimizer, {"inside paused()", "before or after"});
      optimizer->paused([&] { ++calls; });
      optimizer->with_mean_model([&] { ++calls; });
      EXPECT_GE(optimizer->consensus_distance(), 0.0);
      state = optimizer->state_dict();
      optimizer->load_state_dict(state);
      expect_refused(*optimizer, {"inside paused()"});
    });
    EXPECT_EQ(calls, 2);
    const std::int64_t steps = optimizer->steps();
    train(module, *optimizer, 2);
    EXPECT_EQ(optimizer->steps(), steps + 2);
  });
  EXPECT_TRUE(is_same_everywhere("still in step"));
}

TEST_F(ModuleLifeTest, WhatABodyDidToTheModuleIsUndone) {
  for_some([&](Module& module, std::unique_ptr<Decentralized>& optimizer) {
    std::vector<torch::Tensor> own;
    optimizer->paused([&] { own = test::copies_of(module->parameters()); });
    optimizer->with_mean_model([&] {
      for (torch::Tensor& parameter : module->ptr(2)->parameters()) {
        parameter.set_data(parameter.data().to(torch::kFloat64));
      }
    });
    optimizer->with_mean_model([&] {
      for (torch::Tensor& parameter : module->ptr(2)->parameters()) {
        parameter.set_data(torch::zeros_like(parameter));
      }
    });
    optimizer->paused([&] { test::expect_equal(module->parameters(), own); });
    train(module, *optimizer, 1);
  });
}

/// A layer whose weight is tied to another's by its memory.
struct Tied : torch::nn::Module {
  Tied() {
    first = register_module("first", torch::nn::Linear(4, 4));
    last = register_module("last", torch::nn::Linear(4, 4));
    last->weight.set_data(first->weight.data());
  }
  torch::Tensor forward(const torch::Tensor& x) { return last(torch::tanh(first(x))); }
  torch::nn::Linear first{nullptr};
  torch::nn::Linear last{nullptr};
};

TEST_F(ModuleLifeTest, ParametersTiedByTheirMemoryStayTied) {
  const auto plain = test::make<Tied>(6);
  auto local = test::sgd(*plain, 0.1, 0.9);
  const auto train_tied = [&](Tied& module, torch::optim::Optimizer& optimizer) {
    for (int step = 0; step < 5; ++step) {
      optimizer.zero_grad();
      module.forward(test::batch(0, step)).square().mean().backward();
      optimizer.step();
    }
  };
  train_tied(*plain, local);
  for (const OptimizerName& name : optimizer_names()) {
    SCOPED_TRACE(name.name);
    const auto module = test::make<Tied>(static_cast<std::uint64_t>(rank()) + 6);
    const auto optimizer =
        optim::make_optimizer(name.name, world(), *module,
                              std::make_unique<torch::optim::SGD>(test::sgd(*module, 0.1, 0.9)),
                              topology::ring(size()), {.weight_decay = 0.1, .lipschitz = 10.0});
    train_tied(*module, *optimizer);
    if (name.name == "gossip-sgd" || name.name == "allreduce") {  // all ranks have the same data
      test::expect_near(module->parameters(), plain->parameters(), 1e-12);
    }
    optimizer->paused(
        [&] { EXPECT_TRUE(torch::equal(module->first->weight, module->last->weight)); });
    EXPECT_EQ(module->first->weight.data_ptr(), module->last->weight.data_ptr());
  }
}

TEST_F(ModuleLifeTest, AdaptiveOptimizersMoveTiedParametersAsInLibTorch) {
  const auto trained_with = [&](std::string_view name) {
    const auto module = test::make<Tied>(6);
    std::unique_ptr<torch::optim::Optimizer> optimizer = std::make_unique<torch::optim::Adam>(
        module->parameters(), torch::optim::AdamOptions(0.01).weight_decay(0.1));
    if (!name.empty()) {
      optimizer = optim::make_optimizer(name, world(), *module, std::move(optimizer),
                                        topology::ring(size()), {});
    }
    for (int step = 0; step < 4; ++step) {
      optimizer->zero_grad();
      module->forward(test::batch(0, step)).square().mean().backward();
      optimizer->step();
    }
    return test::copies_of(module->parameters());
  };
  const auto plain = trained_with("");
  for (const char* name : {"allreduce", "gossip-sgd", "local-sgd"}) {
    SCOPED_TRACE(name);
    test::expect_near(trained_with(name), plain, 1e-12);
  }
}

}  // namespace
}  // namespace gossip::optim
