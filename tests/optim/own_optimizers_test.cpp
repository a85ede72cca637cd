// SPDX-License-Identifier: Apache-2.0
// Local optimizers that users write.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <libgossip/optim/factory.h>
#include <libgossip/optim/local_steps.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;

/// As users write them: nothing but what the constructor needs.
struct SignOptions : torch::optim::OptimizerCloneableOptions<SignOptions> {
  TORCH_ARG(double, lr) = 0.01;
};

class SignDescent : public torch::optim::Optimizer {
 public:
  explicit SignDescent(const std::vector<torch::Tensor>& parameters)
      : Optimizer({torch::optim::OptimizerParamGroup(parameters)},
                  std::make_unique<SignOptions>()) {}

  torch::Tensor step(LossClosure /*closure*/ = nullptr) override {
    const torch::NoGradGuard no_grad;
    for (torch::optim::OptimizerParamGroup& group : param_groups()) {
      const double rate = static_cast<SignOptions&>(group.options()).lr();
      for (torch::Tensor& parameter : group.params()) {
        if (parameter.grad().defined()) parameter.sub_(parameter.grad().sign(), rate);
      }
    }
    return {};
  }
};

/// Sharpness-aware: steps by the gradient at a point up the slope.
class SharpnessAware : public torch::optim::SGD {
 public:
  explicit SharpnessAware(const std::vector<torch::Tensor>& parameters) : SGD(parameters, 0.1) {}

  torch::Tensor step(LossClosure closure = nullptr) override {
    move(0.05);
    const torch::Tensor loss = closure();
    move(-0.05);
    SGD::step();
    return loss;
  }

 private:
  void move(double by) {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : param_groups()[0].params()) {
      if (parameter.grad().defined()) parameter.add_(parameter.grad(), by);
    }
  }
};

class OwnOptimizersTest : public test::OptimTest {
 protected:
  [[nodiscard]] std::unique_ptr<Decentralized> make(
      std::string_view name, Branches& model,
      std::unique_ptr<torch::optim::Optimizer> local) const {
    return make_optimizer(
        name, world(), model, std::move(local), topology::ring(size()),
        {.local_steps = 2, .active = 1.0, .weight_decay = 0.1, .lipschitz = 10.0});
  }
};

TEST_F(OwnOptimizersTest, MethodsThatNeedARateThatIsNotToldNameTheCause) {
  std::vector<std::string> refused;
  for (const OptimizerName& entry : optimizer_names()) {
    SCOPED_TRACE(entry.name);
    const auto model = test::make<Branches>(1);
    const std::string before = test::bytes_of(model->parameters());
    try {
      const auto optimizer =
          make(entry.name, *model, std::make_unique<SignDescent>(model->parameters()));
      for (int step = 0; step < 2; ++step) {
        optimizer->zero_grad();
        test::loss(*model, rank(), step).backward();
        optimizer->step();
      }
      EXPECT_NE(test::bytes_of(model->parameters()), before);
    } catch (const JointError& error) {
      refused.emplace_back(entry.name);
      EXPECT_THAT(error.what(), testing::HasSubstr(
                                    "'" + refused.back() +
                                    "' needs the learning rate, but the "
                                    "options of the local optimizer tell none: override get_lr()"));
    }
  }
  EXPECT_THAT(refused, testing::ElementsAre("slowmo", "scaffold", "qg-dsgdm", "decentlam", "kgt"));
}

/// Keeps something where LibTorch's do.
class Counting final : public SignDescent {
 public:
  using SignDescent::SignDescent;
  torch::Tensor step(LossClosure closure = nullptr) override {
    for (const torch::Tensor& parameter : param_groups()[0].params()) {
      state()[parameter.unsafeGetTensorImpl()] = std::make_unique<torch::optim::SGDParamState>();
    }
    return SignDescent::step(closure);
  }
};

TEST_F(OwnOptimizersTest, ThatSaveNothingAreToldSoOnce) {
  for (const bool is_known : {true, false}) {
    const auto model = test::make<Branches>(1);
    std::unique_ptr<torch::optim::Optimizer> local;
    if (is_known) {
      local = std::make_unique<SharpnessAware>(model->parameters());  // saves as SGD does
    } else {
      local = std::make_unique<SignDescent>(model->parameters());
    }
    const auto optimizer = make("gossip-sgd", *model, std::move(local));
    testing::internal::CaptureStderr();
    for (int save = 0; save < 2; ++save) static_cast<void>(optimizer->state_dict());
    const std::string said = testing::internal::GetCapturedStderr();
    const std::size_t at = said.find("SignDescent' does not save its options");
    EXPECT_EQ(at != std::string::npos, !is_known && rank() == 0) << said;
    EXPECT_EQ(said.find("does not save", at + 30), std::string::npos) << "once";
    const std::size_t failure = said.find("into state(), the next checkpoint fails");
    EXPECT_EQ(failure != std::string::npos, at != std::string::npos) << said;
  }
}

TEST_F(OwnOptimizersTest, ThatWouldLoseAStateAreNotSaved) {
  const auto model = test::make<Branches>(1);
  const auto optimizer =
      make("gossip-sgd", *model, std::make_unique<Counting>(model->parameters()));
  EXPECT_FALSE(optimizer->state_dict().tensors.empty()) << "there is nothing to lose yet";
  test::loss(*model, rank(), 0).backward();
  optimizer->step();
  test::expect_throw<Error>([&] { static_cast<void>(optimizer->state_dict()); },
                            {"Counting' has a state, but its save() writes nothing", "override"});
}

/// Zero is a rate that was told.
TEST_F(OwnOptimizersTest, ARateOfZeroIsAnotherErrorThanNone) {
  const auto model = test::make<Branches>(1);
  SlowMo optimizer(world(), *model, test::sgd(*model, 0.0), SlowMoOptions().local_steps(1));
  test::loss(*model, rank(), 0).backward();
  test::expect_throw<Error>([&] { optimizer.step(); }, {"The learning rate is 0, but 'slowmo'"});
}

TEST_F(OwnOptimizersTest, ARateIsNotTakenFromGroupsThatAreGone) {
  const auto model = test::make<Branches>(1);
  SlowMo optimizer(world(), *model, test::sgd(*model), SlowMoOptions().local_steps(1));
  optimizer.param_groups().clear();
  test::loss(*model, rank(), 0).backward();
  test::expect_throw<Error>([&] { optimizer.step(); }, {"no parameter groups, but 'slowmo'"});
}

TEST_F(OwnOptimizersTest, ThatCallTheClosureAreToldSo) {
  for (const OptimizerName& entry : optimizer_names()) {
    if (entry.name == "dadao") continue;  // whose local optimizer is its own
    SCOPED_TRACE(entry.name);
    const auto model = test::make<Branches>(1);
    const auto optimizer =
        make(entry.name, *model, std::make_unique<SharpnessAware>(model->parameters()));
    int evaluations = 0;
    test::expect_throw<Error>(
        [&] {
          optimizer->step([&] {
            ++evaluations;
            optimizer->zero_grad();
            torch::Tensor loss = test::loss(*model, rank(), 0);
            loss.backward();
            return loss;
          });
        },
        {"closure", "SAM", "GradientAt", "AdamW"});
    EXPECT_EQ(evaluations, 1);
    EXPECT_EQ(optimizer->steps(), 0);
  }
}

}  // namespace
}  // namespace gossip::optim
