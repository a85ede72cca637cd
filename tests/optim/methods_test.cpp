// SPDX-License-Identifier: Apache-2.0
// What holds for every method of the factory.
#include <cmath>
#include <sstream>
#include <string>

#include <libgossip/optim/factory.h>
#include <libgossip/optim/local_steps.h>
#include <libgossip/optim/momentum.h>
#include <libgossip/optim/push_pull.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/weights.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Normed;

/// All that wait for each other.
std::vector<std::string> synchronous_names() {
  std::vector<std::string> names;
  for (const OptimizerName& entry : optimizer_names()) {
    if (!entry.is_asynchronous) names.emplace_back(entry.name);
  }
  return names;
}

std::string saved(const auto& thing) {
  torch::serialize::OutputArchive archive;
  thing.save(archive);
  std::ostringstream stream;
  archive.save_to(stream);
  return stream.str();
}

void load(auto& thing, const std::string& bytes) {
  std::istringstream stream(bytes);
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  thing.load(archive);
}

class MethodsTest : public test::OptimTest {
 protected:
  [[nodiscard]] std::unique_ptr<Decentralized> make(std::string_view name, Normed& model) const {
    return make_optimizer(name, world(), model,
                          std::make_unique<torch::optim::SGD>(test::sgd(model, 0.05)),
                          topology::ring(size()),
                          {.local_steps = 3,
                           .outer_steps = 6,
                           .method_momentum = 0.5,
                           .fragments = 2,
                           .compression = 0.2});
  }

  void train(Normed& model, Decentralized& optimizer, int first, int end) const {
    for (int step = first; step < end; ++step) {
      optimizer.zero_grad();
      if (optimizer.needs_gradient()) test::loss(model, rank(), step).backward();
      optimizer.step();
    }
  }

  /// Of this rank's data, by the mean model.
  [[nodiscard]] double loss_of_mean(Normed& model, Decentralized& optimizer) const {
    double loss = 0.0;
    optimizer.with_mean_model([&] { loss = test::loss(model, rank(), 3).template item<double>(); });
    return loss;
  }
};

TEST_F(MethodsTest, AllLearn) {
  for (const std::string& name : synchronous_names()) {
    const auto model = test::make<Normed>(2);
    const auto optimizer = make(name, *model);
    const double before = loss_of_mean(*model, *optimizer);
    train(*model, *optimizer, 0, 30);
    EXPECT_LT(loss_of_mean(*model, *optimizer), 0.9 * before) << name;
    EXPECT_EQ(optimizer->steps(), 30) << name;
  }
}

TEST_F(MethodsTest, AllContinueToTheBitInTheMiddleOfARound) {
  for (const std::string& name : synchronous_names()) {
    const auto model = test::make<Normed>(2);
    const auto optimizer = make(name, *model);
    train(*model, *optimizer, 0, 4);
    // As a scheduler does: then the rates of a round differ.
    optimizer->param_groups()[0].options().set_lr(0.02);
    const std::string model_state = saved(*model);
    const std::string optimizer_state = saved(*optimizer);
    train(*model, *optimizer, 4, 11);

    const auto again = test::make<Normed>(77);
    const auto resumed = make(name, *again);
    load(*again, model_state);
    load(*resumed, optimizer_state);
    train(*again, *resumed, 4, 11);

    test::expect_equal(again->parameters(), model->parameters());
    test::expect_equal(again->buffers(), model->buffers());
    EXPECT_FALSE(HasFailure()) << name;
  }
}

TEST_F(MethodsTest, RanksInDifferentCallsSayWhichIsInWhich) {
  if (size() == 1) return;
  std::vector<std::string> names = synchronous_names();
  names.insert(names.end(), {"async-gossip", "ad-psgd", "a2cid2"});
  for (const std::string& name : names) {
    const auto model = test::make<Normed>(2);
    auto optimizer = make(name, *model);
    train(*model, *optimizer, 0, 2);
    const auto before = test::copies_of(model->parameters());

    test::expect_throw<JointError>(
        [&] {
          rank() == 0 ? optimizer->with_mean_model([] {})
                      : static_cast<void>(optimizer->consensus_distance());
        },
        {"rank 0 is in with_mean_model() after 2 steps, rank ",
         " in consensus_distance() after 2"});
    if (optimizer->is_synchronous()) test::expect_equal(model->parameters(), before);
    optimizer->paused([] {});

    // As a last evaluation by rank 0 alone.
    if (rank() == 0) {
      test::expect_throw<JointError>([&] { optimizer->with_mean_model([] {}); },
                                     {"rank 0 is in with_mean_model() after 2 steps, rank ",
                                      " in the destructor of the optimizer after 2 steps"});
      optimizer.reset();  // while the others are in a barrier
    } else {
      optimizer.reset();
      test::expect_throw<JointError>(
          [&] { world().barrier(); },
          {"rank 0 is in the destructor of the optimizer after 2 steps, rank ", " in a barrier"});
    }
    EXPECT_FALSE(HasFailure()) << name;
  }
}

/// Among all ranks the mean is of the model itself. One rank waits for the missing one, one for
/// another that waits; so few that each gets a core in time.
TEST_F(MethodsTest, AMeanThatTimedOutLeavesTheModelAndEndsInOrder) {
  if (size() != 3) return;
  for (const std::string_view name : {"local-sgd", "slowmo", "diloco", "scaffold"}) {
    const auto model = test::make<Normed>(2);
    const auto make_with = [&](std::chrono::milliseconds timeout) {
      return make_optimizer(name, world(), *model,
                            std::make_unique<torch::optim::SGD>(test::sgd(*model, 0.05)),
                            topology::ring(size()), {.local_steps = 1, .timeout = timeout});
    };
    auto optimizer = make_with(std::chrono::milliseconds(1500));
    const auto twin = test::make<Normed>(2);
    auto plain = test::sgd(*twin, 0.05);
    if (rank() != last()) {
      test::loss(*twin, rank(), 0).backward();
      plain.step();
      test::loss(*model, rank(), 0).backward();
      test::expect_throw<TimeoutError>([&] { optimizer->step(); },
                                       {"waited 1500 ms for ", " in the mean over"});
      test::expect_near(model->parameters(), twin->parameters());
      test::expect_throw<Error>([&] { optimizer->step(); }, {"make a new optimizer"});
    }
    MPI_Barrier(MPI_COMM_WORLD);
    optimizer.reset();

    optimizer = make_with(std::chrono::seconds(20));
    train(*model, *optimizer, 0, 2);
    EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters()))) << name;
    EXPECT_FALSE(HasFailure()) << name;
  }
}

/// What --list says of them.
TEST_F(MethodsTest, HaveAsManyVectorsAsIsSaid) {
  const auto model = test::make<Normed>(2);
  const std::size_t bytes = model->parameters().size();
  EXPECT_GT(bytes, 0U);
  for (const OptimizerName& entry : optimizer_names()) {
    if (entry.is_asynchronous || entry.name == "push-sum") continue;
    const auto own = test::make<Normed>(2);
    const auto optimizer = make(entry.name, *own);
    const std::string text = saved(*optimizer);
    int vectors = 0;
    for (std::size_t at = text.find("state."); at != std::string::npos;
         at = text.find("state.", at + 1)) {
      ++vectors;
    }
    EXPECT_EQ(vectors > 0, entry.state > 0) << entry.name;
  }
}

TEST_F(MethodsTest, OnlySampledRanksNeedAGradient) {
  if (size() == 1) return;  // who is always active
  torch::nn::Linear model(2, 1);
  model->to(torch::kFloat64);
  int evaluations = 0;
  SampledPushPull optimizer(world(), *model, test::sgd(*model, 0.01), topology::ring(size()),
                            SampledPushPullOptions().sampling(topology::Sampling(
                                size(), std::vector<std::vector<Rank>>{{0}, {last()}})));
  for (int step = 0; step < 6; ++step) {
    EXPECT_EQ(optimizer.needs_gradient(), rank() == (step % 2 == 0 ? 0 : last())) << step;
    optimizer.step([&] {
      ++evaluations;
      optimizer.zero_grad();
      torch::Tensor loss = model->forward(torch::ones({3, 2}, torch::kFloat64)).square().mean();
      loss.backward();
      return loss;
    });
  }
  const int expected = rank() == 0 || rank() == last() ? 3 : 0;
  EXPECT_EQ(evaluations, expected);
}

TEST_F(MethodsTest, RefuseWhatTheyDoNotBear) {
  const auto model = test::make<Normed>(1);
  const auto refused = [&](const std::string& name, const topology::Schedule& schedule,
                           const OptimizerOptions& options, const std::vector<std::string>& parts) {
    test::expect_throw<JointError>(
        [&] {
          static_cast<void>(make_optimizer(name, world(), *model,
                                           std::make_unique<torch::optim::SGD>(test::sgd(*model)),
                                           schedule, options));
        },
        parts);
    EXPECT_TRUE(is_same_everywhere("still in step")) << name;
  };
  const topology::Schedule ring = topology::ring(size());
  for (const std::string name :
       {"local-sgd", "slowmo", "diloco", "scaffold", "led", "kgt", "lsgt"}) {
    refused(name, ring, {.local_steps = 0}, {"local_steps is 0", "at least 1"});
  }
  for (const std::string name : {"qg-dsgdm", "decentlam", "momentum-tracking"}) {
    refused(name, ring, {.method_momentum = 1.0}, {"momentum is 1", "below 1"});
  }
  refused("slowmo", ring, {.method_momentum = -0.1}, {"slow_momentum is -0.1"});
  refused("diloco", ring, {.local_steps = 2, .fragments = 3}, {"fragments is 3", "local_steps, 2"});
  refused("diloco", ring, {.local_steps = 1'000'000'000, .fragments = 1'000'000'000},
          {"fragments is 1000000000", "at most 4096"});
  refused("diloco", ring, {.outer_rate = 0.0}, {"outer_rate is 0"});
  refused("hierarchical-local-sgd", ring, {.outer_steps = 0}, {"outer_steps is 0", "at least 1"});
  refused("hierarchical-local-sgd", ring, {.group_size = 0}, {"group_size is 0"});
  refused("push-pull-device-sampling", ring, {.active = 0.0}, {"active is 0"});
  refused("ef-sgd", ring, {.compression = 1.5}, {"1.5", "at most 1"});
  refused("choco-sgd", ring, {.consensus_rate = 0.0}, {"consensus_rate is 0"});
  if (size() < 3) return;
  const topology::Schedule directed = topology::with_column_weights(
      topology::Graph::directed(size(), {{0, 1}, {1, 2}, {2, 0}, {0, 2}}, "directed"));
  for (const std::string name : {"qg-dsgdm", "decentlam", "momentum-tracking", "gradient-tracking",
                                 "kgt", "lsgt", "choco-sgd", "deep-squeeze"}) {
    refused(name, directed, {}, {"'directed'"});
  }
  for (const std::string name : {"extra", "led", "exact-diffusion"}) {
    refused(name, topology::one_peer_exponential(size()), {}, {"needs the same symmetric matrix"});
  }
}

/// As after reading pretrained weights.
TEST_F(MethodsTest, StartFromAModelThatIsLoadedAfterTheyAreMade) {
  for (const std::string& name : synchronous_names()) {
    const auto pretrained = test::make<Normed>(5);
    const auto direct = make(name, *pretrained);
    const auto model = test::make<Normed>(6);
    const auto optimizer = make(name, *model);
    load(*model, saved(*test::make<Normed>(5)));
    train(*pretrained, *direct, 0, 7);
    train(*model, *optimizer, 0, 7);
    test::expect_equal(model->parameters(), pretrained->parameters());
    EXPECT_FALSE(HasFailure()) << name;
  }
}

/// The decay acts on U = w X, to which trackers are as large in proportion as the weights.
TEST_F(MethodsTest, PushDIGingHasTheLimitOfALossWithTheWeightDecay) {
  constexpr double kDecay = 0.5;
  const auto curvature = [](Rank rank) { return 1.3 + 0.4 * rank; };
  const auto target = [](Rank rank) { return 0.5 - 0.75 * rank * rank; };
  double numerator = 0.0;
  double denominator = 0.0;
  for (Rank rank = 0; rank < size(); ++rank) {
    numerator += curvature(rank) * target(rank);
    denominator += curvature(rank) + kDecay;
  }
  torch::nn::Linear model(torch::nn::LinearOptions(1, 1).bias(false));
  model->to(torch::kFloat64);
  PushDIGing optimizer(
      world(), *model,
      torch::optim::SGD(model->parameters(), torch::optim::SGDOptions(0.05).weight_decay(kDecay)),
      topology::Schedule(topology::uniform_in_degree(topology::star(size())), "star-in"));
  for (int step = 0; step < 3000; ++step) {
    model->weight.mutable_grad() = curvature(rank()) * (model->weight.detach() - target(rank()));
    optimizer.step();
  }
  EXPECT_NEAR(model->weight.item<double>(), numerator / denominator, 1e-10);
  if (size() > 2) {
    EXPECT_GT(std::abs(optimizer.weight() - 1.0), 0.1) << "no uneven graph";
  }
}

TEST_F(MethodsTest, NeedOneLearningRateWhereTheyDivideByIt) {
  const auto model = test::make<Normed>(1);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(model->first->parameters(), std::make_unique<torch::optim::SGDOptions>(0.1));
  groups.emplace_back(model->norm->parameters(), std::make_unique<torch::optim::SGDOptions>(0.2));
  groups.emplace_back(model->last->parameters(), std::make_unique<torch::optim::SGDOptions>(0.1));
  test::expect_throw<JointError>(
      [&] { SlowMo(world(), *model, torch::optim::SGD(groups, torch::optim::SGDOptions(0.1))); },
      {"learning rates 0.1 and 0.2", "'slowmo' needs one"});
  SlowMo optimizer(world(), *model, test::sgd(*model, 0.1), SlowMoOptions().local_steps(1));
  optimizer.param_groups()[0].options().set_lr(0.0);
  test::loss(*model, rank(), 0).backward();
  test::expect_throw<Error>([&] { optimizer.step(); },
                            {"The learning rate is 0", "'slowmo' divides by it"});
}

}  // namespace
}  // namespace gossip::optim
