// SPDX-License-Identifier: Apache-2.0
// What all gradient estimators leave alone, and how they go together with an optimizer.
#include <array>

#include <torch/csrc/autograd/function_hook.h>

#include <libgossip/transport/local/cluster.h>

#include "optim/estimators_test_support.h"
#include "support/thread_ranks.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::descend;
using test::gradients_of;
using test::LeastSquares;
using test::max_distance;
using test::Normed;
using test::restore;
using test::sample_of;
using test::saved;
using test::Tensors;

/// An estimator of a Normed model that is trained on the batches 0 to 4 in turn.
struct Harness {
  std::string name;
  std::function<void(int step)> backward;
  std::function<std::string()> save;
  std::function<void(const std::string&)> load;
};

template <class Estimator>
Harness harness_of(std::string name, std::shared_ptr<Estimator> estimator,
                   std::function<void(Estimator&, int)> backward) {
  return {std::move(name), [=](int step) { backward(*estimator, step % 5); },
          [=] { return saved(*estimator); },
          [=](const std::string& state) { restore(*estimator, state); }};
}

/// `watch` is called within each evaluation of a loss.
std::vector<Harness> harnesses(
    Normed& model, const std::function<void()>& watch = [] {}) {
  const auto loss = [=, &model](int step) {
    watch();
    return test::loss(model, 0, step);
  };
  return {harness_of<Storm>(
              "storm", std::make_shared<Storm>(model),
              [=](Storm& storm, int step) { storm.backward([&] { return loss(step); }); }),
          harness_of<LooplessSVRG>(
              "loopless-svrg",
              std::make_shared<LooplessSVRG>(
                  model, [=](std::int64_t part) { return loss(static_cast<int>(part)); },
                  LooplessSVRGOptions().probability(0.4).parts(5)),
              [=](LooplessSVRG& svrg, int step) { svrg.backward([&] { return loss(step); }); }),
          harness_of<Saga>("saga", std::make_shared<Saga>(model, 5), [=](Saga& saga, int step) {
            saga.backward(step, [&] { return loss(step); });
          })};
}

constexpr std::size_t kNumHarnesses = 3;

class EachEstimator : public testing::TestWithParam<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(All, EachEstimator, testing::Range<std::size_t>(0, kNumHarnesses));

TEST_P(EachEstimator, LeaveParametersAndTheirMemoryAlone) {
  const auto model = test::make<Normed>(4);
  const Tensors parameters = model->parameters();
  std::vector<torch::Tensor> memory;  // as a rank sees it that mixes in the background
  std::string present;
  int elsewhere = 0;
  const auto watch = [&] {
    EXPECT_EQ(test::bytes_of(memory), present) << "the model was seen elsewhere";
    if (parameters[0].data_ptr() != memory[0].data_ptr()) ++elsewhere;
  };
  const Harness harness = harnesses(*model, watch).at(GetParam());

  for (int step = 0; step < 6; ++step) {
    memory.clear();
    for (const torch::Tensor& parameter : parameters) memory.push_back(parameter.detach());
    present = test::bytes_of(parameters);
    harness.backward(step);
    EXPECT_EQ(test::bytes_of(model->parameters()), present);
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      EXPECT_EQ(model->parameters()[k].unsafeGetTensorImpl(), parameters[k].unsafeGetTensorImpl());
      EXPECT_EQ(parameters[k].data_ptr(), memory[k].data_ptr());
      EXPECT_TRUE(parameters[k].requires_grad());
    }
    descend(*model, 0.1);
  }
  EXPECT_EQ(elsewhere > 0, harness.name != "saga");
}

TEST_P(EachEstimator, CountEachBatchOnceInStatistics) {
  const auto model = test::make<Normed>(4);
  const auto plain = test::make<Normed>(4);
  const Harness harness = harnesses(*model).at(GetParam());
  for (int step = 0; step < 6; ++step) {
    {
      const torch::NoGradGuard no_grad;
      for (std::size_t k = 0; k < plain->parameters().size(); ++k)
        plain->parameters()[k].copy_(model->parameters()[k]);
    }
    plain->forward(test::batch(0, step % 5));
    harness.backward(step);
    test::expect_equal(model->buffers(), plain->buffers());
    descend(*model, 0.1);
  }
  EXPECT_EQ(model->norm->num_batches_tracked.item<std::int64_t>(), 6);
}

TEST_P(EachEstimator, ResumeToTheBit) {
  const auto train = [](const Normed& module, const Harness& harness, int first, int end) {
    for (int step = first; step < end; ++step) {
      harness.backward(step);
      descend(module, 0.1);
    }
  };
  for (const int steps_before_loading : {0, 2}) {
    const auto model = test::make<Normed>(4);
    const Harness harness = harnesses(*model).at(GetParam());
    train(*model, harness, 0, 7);
    const std::string model_state = saved(*model);
    const std::string state = harness.save();
    train(*model, harness, 7, 14);

    const auto again = test::make<Normed>(5);
    const Harness resumed = harnesses(*again).at(GetParam());
    train(*again, resumed, 0, steps_before_loading);
    restore(*again, model_state);
    resumed.load(state);
    EXPECT_EQ(resumed.save(), state);
    train(*again, resumed, 7, 14);

    test::expect_equal(again->parameters(), model->parameters());
    test::expect_equal(again->buffers(), model->buffers());
    EXPECT_EQ(resumed.save(), harness.save());
  }
}

TEST_P(EachEstimator, AreAsBeforeWhenALossThrows) {
  const auto model = test::make<Normed>(4);
  const auto twin = test::make<Normed>(4);
  int calls_left = -1;  // none throws
  const auto watch = [&] {
    if (calls_left-- == 0) throw std::runtime_error("no data");
  };
  const Harness harness = harnesses(*model, watch).at(GetParam());
  const Harness calm = harnesses(*twin).at(GetParam());
  for (int step = 0; step < 4; ++step) {
    for (const int allowed : {0, 1}) {
      if (step == 0 || (harness.name != "storm" && allowed == 1)) continue;  // never called
      const Tensors buffers = test::copies_of(model->buffers());
      calls_left = allowed;
      test::expect_throw<std::runtime_error>([&] { harness.backward(step); }, {"no data"});
      test::expect_equal(model->buffers(), buffers);
    }
    calls_left = -1;
    harness.backward(step);
    calm.backward(step);
    if (harness.name != "loopless-svrg") {  // which makes a new snapshot
      test::expect_equal(gradients_of(*model), gradients_of(*twin));
    }
    test::expect_equal(model->parameters(), twin->parameters());
    const torch::NoGradGuard no_grad;
    for (std::size_t k = 0; k < model->parameters().size(); ++k) {
      const torch::Tensor next = model->parameters()[k] - 0.1 * model->parameters()[k].grad();
      model->parameters()[k].copy_(next);
      twin->parameters()[k].copy_(next);
    }
  }
}

TEST_P(EachEstimator, ReplaceWhatTheGradientsHeld) {
  const auto model = test::make<Normed>(4);
  const auto twin = test::make<Normed>(4);
  const Harness harness = harnesses(*model).at(GetParam());
  const Harness clean = harnesses(*twin).at(GetParam());
  for (int step = 0; step < 3; ++step) {
    for (torch::Tensor& parameter : model->parameters()) {
      parameter.mutable_grad() = torch::full_like(parameter, 1e3);
    }
    twin->zero_grad();
    harness.backward(step);
    clean.backward(step);
    test::expect_equal(gradients_of(*model), gradients_of(*twin));
  }
}

TEST_P(EachEstimator, RefuseTheStateOfAnother) {
  const auto model = test::make<Normed>(4);
  const std::vector<Harness> all = harnesses(*model);
  const Harness& harness = all.at(GetParam());
  const Harness& other = all.at((GetParam() + 1) % kNumHarnesses);
  harness.backward(0);
  other.backward(0);
  const std::string state = harness.save();
  test::expect_throw<Error>([&] { harness.load(other.save()); },
                            {"state of '" + other.name + "'", "is '" + harness.name + "'"});
  test::expect_throw<Error>([&] { harness.load(saved(*model)); },
                            {"not the state of a gradient estimator", harness.name});
  EXPECT_EQ(harness.save(), state);
}

TEST_P(EachEstimator, RefuseAModelThatWasConverted) {
  const auto model = test::make<Normed>(4);
  const Harness harness = harnesses(*model).at(GetParam());
  model->to(torch::kFloat32);
  test::expect_throw<Error>([&] { harness.backward(0); },
                            {"'first.weight' was Double [6, 4] on cpu", "is Float [6, 4]"});
}

TEST_P(EachEstimator, RefuseAModelThatTrainsOtherParameters) {
  const auto model = test::make<Normed>(4);
  model->first->bias.requires_grad_(false);
  const Harness harness = harnesses(*model).at(GetParam());
  harness.backward(0);
  model->first->bias.requires_grad_(true);
  test::expect_throw<Error>([&] { harness.backward(1); },
                            {"'first.bias' was frozen", "is trainable now", "new estimator"});
  model->first->bias.requires_grad_(false);
  model->last->weight.requires_grad_(false);
  test::expect_throw<Error>([&] { harness.backward(1); },
                            {"'last.weight' was trainable", "is frozen now", "new estimator"});
  model->last->weight.requires_grad_(true);
  harness.backward(1);
}

/// Counts the passes that reach a parameter's gradient, as AllReduce's hooks do.
class CountingHook final : public torch::autograd::FunctionPostHook {
 public:
  explicit CountingHook(int& count) : count_(count) {}
  torch::autograd::variable_list operator()(
      const torch::autograd::variable_list& outputs,
      const torch::autograd::variable_list& /*inputs*/) override {
    ++count_;
    return outputs;
  }

 private:
  int& count_;
};

TEST_P(EachEstimator, RunNoHooks) {
  const auto model = test::make<Normed>(4);
  int count = 0;
  const auto node = torch::autograd::impl::grad_accumulator(model->first->weight);
  node->add_post_hook(std::make_unique<CountingHook>(count));
  const Harness harness = harnesses(*model).at(GetParam());
  for (int step = 0; step < 3; ++step) harness.backward(step);
  EXPECT_EQ(count, 0);
  test::loss(*model, 0, 0).backward();
  EXPECT_EQ(count, 1) << "the hook counts nothing";
}

TEST(Estimators, GiveUnusedParametersZeros) {
  const auto model = test::make<Branches>(6);
  Storm storm(*model);
  for (int step = 0; step < 2; ++step) {
    storm.backward([&] { return model->forward(test::batch(0, step)).square().mean(); });
    EXPECT_EQ(model->unused->weight.grad().abs().max().item<double>(), 0.0);
    EXPECT_EQ(model->right->weight.grad().abs().max().item<double>(), 0.0);
    EXPECT_GT(model->left->weight.grad().abs().max().item<double>(), 0.0);
    EXPECT_FALSE(model->frozen.grad().defined());
  }
}

/// One layer under two names, and a table whose gradient is sparse.
struct Shared : torch::nn::Module {
  Shared() {
    table = register_module("table",
                            torch::nn::Embedding(torch::nn::EmbeddingOptions(5, 4).sparse(true)));
    layer = register_module("first", torch::nn::Linear(4, 4));
    register_module("second", layer);
  }
  torch::Tensor loss() {
    return layer(torch::tanh(layer(table(torch::tensor({0, 3, 3}))))).square().mean();
  }
  torch::nn::Embedding table{nullptr};
  torch::nn::Linear layer{nullptr};
};

TEST(Estimators, TakeSharedParametersOnceAndSparseGradientsAsDense) {
  const auto model = test::make<Shared>(7);
  EXPECT_EQ(GradientAt(*model).parameters().size(), 3U);
  const Tensors parameters{model->table->weight, model->layer->weight, model->layer->bias};
  Storm storm(*model);
  for (int step = 0; step < 2; ++step) {  // with one batch STORM is the plain gradient
    storm.backward([&] { return model->loss(); });
    Tensors estimate;
    for (const torch::Tensor& parameter : parameters) estimate.push_back(parameter.grad().clone());
    model->zero_grad();
    model->loss().backward();
    EXPECT_TRUE(model->table->weight.grad().is_sparse());
    model->table->weight.mutable_grad() = model->table->weight.grad().to_dense();

    for (std::size_t k = 0; k < parameters.size(); ++k) {
      EXPECT_LE(max_distance(estimate[k], parameters[k].grad()), 1e-12) << "parameter " << k;
    }
    const torch::NoGradGuard no_grad;
    for (const torch::Tensor& parameter : parameters) parameter.sub_(0.1 * parameter.grad());
    model->zero_grad();
  }
}

TEST(Estimators, AreAveragedByAllReduce) {
  constexpr int kRanks = 2;
  constexpr int kSteps = 4;
  const transport::local::Cluster cluster(kRanks, std::chrono::seconds(40));
  std::array<Tensors, kRanks> averaged;
  test::run_ranks(kRanks, [&](int rank) {
    LeastSquares model;
    Storm storm(model);
    const std::unique_ptr<transport::Group> group = cluster.group(rank);
    AllReduce optimizer(*group, model, test::sgd(model));
    for (int step = 0; step < kSteps; ++step) {
      optimizer.zero_grad();
      storm.backward([&] { return model.loss(sample_of(step) / kRanks * kRanks + rank); });
      optimizer.step();
      averaged.at(static_cast<std::size_t>(rank)).push_back(model.x.detach().clone());
    }
  });

  // The same on one model: estimates are linear in the losses.
  LeastSquares model;
  Storm storm(model);
  for (int step = 0; step < kSteps; ++step) {
    const std::int64_t first = sample_of(step) / kRanks * kRanks;
    storm.backward([&] { return 0.5 * (model.loss(first) + model.loss(first + 1)); });
    descend(model, 0.1);
    for (const Tensors& iterates : averaged) {
      EXPECT_LE(max_distance(iterates.at(static_cast<std::size_t>(step)), model.x.detach()), 1e-12);
    }
  }
}

}  // namespace
}  // namespace gossip::optim
