// SPDX-License-Identifier: Apache-2.0
// What is said when a run is lost.
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <libgossip/optim/factory.h>
#include <libgossip/optim/gossip_sgd.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// What `body` writes to this rank's standard error.
template <class Body>
std::string said_by(Body&& body) {
  testing::internal::CaptureStderr();
  body();
  return testing::internal::GetCapturedStderr();
}

int count(const std::string& text, const std::string& part) {
  int result = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++result;
  }
  return result;
}

std::string on_rank(Rank rank, int step) {
  return "on rank " + std::to_string(rank) + " in step " + std::to_string(step);
}

class DivergenceTest : public test::OptimTest {
 protected:
  using Work = std::function<void(Decentralized&, Branches&)>;

  /// Steps 1 to `steps` of `name`; in step `lost` the last rank's loss is multiplied by `factor`.
  /// `before_step` comes between the backward pass and step().
  void train(
      std::string_view name, int steps, int lost, double factor = kNaN,
      const Work& before_step = [](Decentralized&, Branches&) {}) const {
    const auto model = test::make<Branches>(1);
    const auto optimizer = make_optimizer(
        name, world(), *model, std::make_unique<torch::optim::SGD>(test::sgd(*model, 0.01)),
        topology::ring(size()), {.local_steps = 2, .active = 1.0});
    for (int step = 1; step <= steps; ++step) {
      optimizer->zero_grad();
      torch::Tensor loss = test::loss(*model, rank(), step);
      if (step == lost && rank() == last()) loss = loss * factor;
      loss.backward();
      before_step(*optimizer, *model);
      optimizer->step();
    }
  }

  /// Of a run in which the last rank's gradient is NaN in step 3.
  void expect_only_the_last_says_whence(const std::string& said) const {
    EXPECT_EQ(count(said, "warning: "), rank() == last() ? 1 : count(said, "The run is lost"));
    EXPECT_LE(count(said, "The run is lost"), 1);
    if (rank() == last()) {
      EXPECT_THAT(said, HasSubstr("The gradient of 'trunk.weight' is nan " + on_rank(last(), 3) +
                                  ", where the model was finite"));
    } else {
      EXPECT_EQ(count(said, "where the model was finite"), 0) << said;
    }
  }
};

void synchronize(Decentralized& optimizer, Branches& /*model*/) { optimizer.synchronize(); }

void clip(Decentralized& optimizer, Branches& model) {
  optimizer.synchronize();
  torch::nn::utils::clip_grad_norm_(model.parameters(), 1.0);
}

TEST_F(DivergenceTest, EveryMethodNamesRankAndStepOfAGradientThatIsNoNumber) {
  for (const OptimizerName& entry : optimizer_names()) {
    if (entry.name == "dadao") continue;  // which ends with an error of its own
    SCOPED_TRACE(entry.name);
    expect_only_the_last_says_whence(said_by([&] { train(entry.name, 6, 3); }));
    expect_only_the_last_says_whence(said_by([&] { train(entry.name, 6, 3, kNaN, clip); }));
  }
}

/// However the mean has come into the gradients before the step.
TEST_F(DivergenceTest, OfAMeanThatIsNoNumberOnlyWhoBroughtThatInSaysWhence) {
  const std::vector<Work> ways{
      synchronize,
      [](Decentralized& optimizer, Branches& /*model*/) { optimizer.with_mean_model([] {}); },
      [](Decentralized& optimizer, Branches& /*model*/) { optimizer.paused([] {}); },
      [this](Decentralized& optimizer, Branches& model) {  // another pass on top of it
        optimizer.synchronize();
        test::loss(model, rank(), 0).backward();
      },
      [this](Decentralized& optimizer, Branches& model) {
        optimizer.synchronize();
        const auto guard = optimizer.no_sync();
        test::loss(model, rank(), 0).backward();
      }};
  for (std::size_t way = 0; way < ways.size(); ++way) {
    SCOPED_TRACE(way);
    const std::string said = said_by([&] { train("allreduce", 6, 3, kNaN, ways[way]); });
    expect_only_the_last_says_whence(said);
    if (rank() != last()) {
      EXPECT_THAT(said, HasSubstr("is not finite before step 4"));
    }
  }
}

/// As programs do that leave such a batch out: another one comes in its place.
TEST_F(DivergenceTest, AMeanThatNoStepUsesIsNoLoss) {
  const auto model = test::make<Branches>(1);
  AllReduce optimizer(world(), *model, test::sgd(*model, 0.01));
  const auto pass = [&](int step, Rank lost) {
    optimizer.zero_grad();
    (test::loss(*model, rank(), step) * (rank() == lost ? kNaN : 1.0)).backward();
    optimizer.synchronize();
  };
  EXPECT_EQ(said_by([&] {
              pass(1, last());
              pass(2, -1);
              optimizer.step();
              pass(3, last());
              for (torch::Tensor& parameter : model->parameters()) {
                if (parameter.grad().defined()) parameter.mutable_grad().nan_to_num_();
              }
              optimizer.step();
            }),
            "");
  const std::string said = said_by([&] {
    pass(4, -1);
    pass(4, 0);
    optimizer.step();
  });
  EXPECT_EQ(count(said, "is nan " + on_rank(0, 3)), rank() == 0 ? 1 : 0) << said;
  EXPECT_EQ(count(said, "lost"), rank() == 0 ? 1 : 0) << said;
}

TEST_F(DivergenceTest, RanksThatGotItFromAnotherSayThat) {
  if (size() == 1) return;                                              // nobody else
  const std::string said = said_by([&] { train("local-sgd", 8, 3); });  // the mean after step 4
  if (rank() != last()) {
    EXPECT_THAT(said, HasSubstr("The model of rank " + std::to_string(rank()) +
                                " is not finite before step 5 ('trunk.weight')"));
  }
}

TEST_F(DivergenceTest, InfinityCountsToo) {
  const std::string said =
      said_by([&] { train("gossip-sgd", 3, 2, std::numeric_limits<double>::infinity()); });
  if (rank() == last()) {
    EXPECT_THAT(said, HasSubstr(on_rank(last(), 2)));
  }
}

TEST_F(DivergenceTest, RunsOfNumbersSayNothing) {
  for (const OptimizerName& entry : optimizer_names()) {
    if (entry.name == "dadao") continue;
    EXPECT_EQ(count(said_by([&] { train(entry.name, 4, 0); }), "lost"), 0) << entry.name;
  }
}

TEST_F(DivergenceTest, TheLossOfAClosureIsLookedAt) {
  const auto model = test::make<Branches>(1);
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()));
  const std::string said = said_by([&] {
    optimizer.step([&] {
      optimizer.zero_grad();
      test::loss(*model, rank(), 0).backward();
      return torch::full({}, rank() == last() ? kNaN : 1.0, torch::kFloat64);
    });
  });
  if (rank() == last()) {
    EXPECT_THAT(said, HasSubstr("The loss is nan " + on_rank(last(), 1)));
  } else {
    EXPECT_EQ(count(said, "lost"), 0) << said;
  }
}

/// One element of many, in the model or the gradient, is found in time.
TEST_F(DivergenceTest, ASingleElementIsFoundWithinAHundredSteps) {
  const auto steps = [&](bool is_in_model) {
    const auto model = test::make<Branches>(1);
    GossipSGD optimizer(world(), *model, test::sgd(*model, 0.0), topology::ring(size()));
    for (int step = 1; step <= 100; ++step) {
      for (torch::Tensor& parameter : model->parameters()) {
        if (parameter.requires_grad()) parameter.mutable_grad() = torch::zeros_like(parameter);
      }
      if (rank() == last() && is_in_model && step == 1) {
        const torch::NoGradGuard no_grad;
        model->trunk->weight[5][3] = kNaN;
      }
      if (rank() == last() && !is_in_model) model->trunk->weight.mutable_grad()[5][3] = kNaN;
      optimizer.step();
    }
  };
  const std::string of_model = said_by([&] { steps(true); });
  EXPECT_THAT(of_model, HasSubstr("The model of rank " + std::to_string(rank()) +
                                  " is not finite before step "));
  EXPECT_THAT(of_model, HasSubstr("('trunk.weight')"));
  EXPECT_EQ(count(of_model, "The run is lost"), 1);
  EXPECT_EQ(count(said_by([&] { steps(false); }), "The run is lost"), 1);
}

/// What backward passes may leave: none, sparse ones, ones without memory of their own.
TEST_F(DivergenceTest, GradientsOfAnyLayoutAreLookedAt) {
  torch::nn::Embedding table(torch::nn::EmbeddingOptions(5, 2).sparse(true));
  torch::nn::Linear expanded(3, 2);
  torch::nn::Sequential model(table, expanded);
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()));
  const std::string said = said_by([&] {
    expanded->weight.mutable_grad() = torch::full({}, rank() == last() ? kNaN : 0.0).expand({2, 3});
    table(torch::zeros({2}, torch::kLong)).sum().backward();
    optimizer.step();
  });
  if (rank() == last()) {
    EXPECT_THAT(said, HasSubstr("The gradient of '1.weight' is nan"));
  }
}

}  // namespace
}  // namespace gossip::optim
