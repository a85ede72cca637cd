// SPDX-License-Identifier: Apache-2.0
// What is said when a run is lost.
#include <limits>
#include <string>
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
  /// Steps 1 to `steps` of `name`; in step `lost` the last rank's loss is multiplied by `factor`.
  void train(std::string_view name, int steps, int lost, double factor = kNaN) const {
    const auto model = test::make<Branches>(1);
    const auto optimizer = make_optimizer(
        name, world(), *model, std::make_unique<torch::optim::SGD>(test::sgd(*model, 0.01)),
        topology::ring(size()), {.local_steps = 2, .active = 1.0});
    for (int step = 1; step <= steps; ++step) {
      optimizer->zero_grad();
      torch::Tensor loss = test::loss(*model, rank(), step);
      if (step == lost && rank() == last()) loss = loss * factor;
      loss.backward();
      optimizer->step();
    }
  }
};

TEST_F(DivergenceTest, EveryMethodNamesRankAndStepOfAGradientThatIsNoNumber) {
  for (const OptimizerName& entry : optimizer_names()) {
    if (entry.name == "dadao") continue;  // which ends with an error of its own
    SCOPED_TRACE(entry.name);
    const std::string said = said_by([&] { train(entry.name, 6, 3); });
    EXPECT_EQ(count(said, "warning: "), rank() == last() ? 1 : count(said, "The run is lost"));
    EXPECT_LE(count(said, "The run is lost"), 1);
    if (rank() == last()) {
      EXPECT_THAT(said, HasSubstr("The gradient of 'trunk.weight' is nan " + on_rank(last(), 3) +
                                  ", where the model was finite"));
    } else {
      EXPECT_EQ(count(said, "where the model was finite"), 0) << said;
    }
  }
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
