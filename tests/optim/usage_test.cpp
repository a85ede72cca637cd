// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <thread>

#include <libgossip/optim/bias_corrected.h>
#include <libgossip/optim/factory.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::Normed;

/// One parameter whose gradient is 1, so that it shows the rates.
struct Slope : torch::nn::Module {
  Slope() { x = register_parameter("x", torch::zeros({1}, torch::kFloat64)); }
  void step(Decentralized& optimizer) {
    optimizer.zero_grad();
    x.sum().backward();
    optimizer.step();
  }
  torch::Tensor x;
};

/// With these every method does with one rank what its local optimizer does.
const OptimizerOptions kAsPlain{.method_momentum = 0.0,
                                .outer_rate = 1.0,
                                .active = 1.0,
                                .compression = 1.0,
                                .consensus_rate = 1.0};

class UsageTest : public test::OptimTest {
 protected:
  [[nodiscard]] topology::Schedule topology_for(std::string_view name) const {
    const auto entry = std::ranges::find(optimizer_names(), name, &OptimizerName::name);
    if (entry->graphs.starts_with("symmetric")) return topology::complete(size());
    return topology::one_peer_exponential(size());
  }

  /// All synchronous optimizers around SGD, told to do what it does: what each rank does is known
  /// to the step.
  [[nodiscard]] std::vector<std::unique_ptr<Decentralized>> synchronous(
      const std::function<torch::nn::Module&()>& next_model, double rate) const {
    std::vector<std::unique_ptr<Decentralized>> optimizers;
    for (const OptimizerName& name : optimizer_names()) {
      if (name.is_asynchronous) continue;
      torch::nn::Module& model = next_model();
      optimizers.push_back(make_optimizer(
          name.name, world(), model, std::make_unique<torch::optim::SGD>(test::sgd(model, rate)),
          topology_for(name.name), kAsPlain));
    }
    return optimizers;
  }

  template <class Module>
  void train(Module& model, Decentralized& optimizer, int steps, int first = 0) const {
    for (int step = first; step < first + steps; ++step) {
      optimizer.zero_grad();
      test::loss(model, rank(), step).backward();
      optimizer.step();
    }
  }
};

TEST_F(UsageTest, CompleteGraphGivesWhatAllReduceGives) {
  const auto gossiping = test::make<Branches>(3);
  const auto reducing = test::make<Branches>(3);
  GossipSGD gossip(world(), *gossiping, test::sgd(*gossiping), topology::complete(size()));
  AllReduce all_reduce(world(), *reducing, test::sgd(*reducing));

  train(*gossiping, gossip, 20);
  train(*reducing, all_reduce, 20);

  test::expect_near(gossiping->parameters(), reducing->parameters(), 1e-12);
  EXPECT_GT((gossiping->trunk->weight - test::make<Branches>(3)->trunk->weight)
                .abs()
                .max()
                .item<double>(),
            1e-3)
      << "nothing was trained";
}

TEST_F(UsageTest, TheSameSeedGivesTheSameBits) {
  for (const bool is_gossip : {true, false}) {
    std::vector<std::string> results;
    for (int run = 0; run < 2; ++run) {
      const auto model = test::make<Normed>(4);
      model->to(torch::kFloat32);
      auto local = std::make_unique<torch::optim::SGD>(test::sgd(*model, 0.1, 0.9));
      const auto optimizer = make_optimizer(is_gossip ? "gossip-sgd" : "allreduce", world(), *model,
                                            std::move(local), topology::random_matching(size(), 3));
      for (int step = 0; step < 15; ++step) {
        optimizer->zero_grad();
        model->forward(test::batch(rank(), step).to(torch::kFloat32)).square().mean().backward();
        if (run == 1 && (rank() + step) % 4 == 0)  // in the second run at other speeds
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        optimizer->step();
      }
      results.push_back(test::bytes_of(model->parameters()) + test::bytes_of(model->buffers()));
    }
    EXPECT_EQ(results[0], results[1]) << (is_gossip ? "gossip-sgd" : "allreduce");
  }
}

TEST_F(UsageTest, AllReduceKeepsTheRanksEqualToTheBit) {
  const auto model = test::make<Branches>(static_cast<std::uint64_t>(rank()));
  AllReduce optimizer(world(), *model, test::sgd(*model, 0.1, 0.9));
  train(*model, optimizer, 10);
  EXPECT_TRUE(is_same_everywhere(test::bytes_of(model->parameters())));
}

TEST_F(UsageTest, StepLRActs) {
  std::vector<Slope> models(optimizer_names().size());
  std::size_t next = 0;
  const auto optimizers = synchronous([&]() -> torch::nn::Module& { return models[next++]; }, 0.4);
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    torch::optim::StepLR scheduler(*optimizers[i], 2, 0.5);
    // LibTorch alone.
    Slope plain;
    auto local = test::sgd(plain, 0.4);
    torch::optim::StepLR plain_scheduler(local, 2, 0.5);
    for (int step = 0; step < 6; ++step) {
      models[i].step(*optimizers[i]);
      scheduler.step();
      local.zero_grad();
      plain.x.sum().backward();
      local.step();
      plain_scheduler.step();
    }
    EXPECT_NEAR(models[i].x.item<double>(), plain.x.item<double>(), 1e-12) << optimizers[i]->name();
    EXPECT_GT(models[i].x.item<double>(), -6 * 0.4 + 0.1) << "the rate never changed";
  }
}

TEST_F(UsageTest, ReduceLROnPlateauActs) {
  std::vector<Slope> models(optimizer_names().size());
  std::size_t next = 0;
  const auto optimizers = synchronous([&]() -> torch::nn::Module& { return models[next++]; }, 0.4);
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    torch::optim::ReduceLROnPlateauScheduler scheduler(
        *optimizers[i], torch::optim::ReduceLROnPlateauScheduler::min, 0.25F, 0);
    models[i].step(*optimizers[i]);
    scheduler.step(1.0F);
    models[i].step(*optimizers[i]);
    scheduler.step(1.0F);  // no better
    models[i].step(*optimizers[i]);
    EXPECT_NEAR(models[i].x.item<double>(), -(0.4 + 0.4 + 0.1), 1e-6) << i;
  }
}

TEST_F(UsageTest, TheRateMayBeSetByHand) {
  std::vector<Slope> models(optimizer_names().size());
  std::size_t next = 0;
  const auto optimizers = synchronous([&]() -> torch::nn::Module& { return models[next++]; }, 0.4);
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    optimizers[i]->param_groups()[0].options().set_lr(0.25);
    models[i].step(*optimizers[i]);
    EXPECT_NEAR(models[i].x.item<double>(), -0.25, 1e-12) << i;
  }
}

TEST_F(UsageTest, AClosureIsCalledOnceWithGradients) {
  std::vector<std::shared_ptr<Branches>> models;
  while (models.size() < optimizer_names().size()) models.push_back(test::make<Branches>(7));
  std::size_t next = 0;
  const auto optimizers = synchronous([&]() -> torch::nn::Module& { return *models[next++]; }, 0.1);
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    const auto twin = test::make<Branches>(7);
    const auto without = make_optimizer(optimizers[i]->name(), world(), *twin,
                                        std::make_unique<torch::optim::SGD>(test::sgd(*twin, 0.1)),
                                        topology_for(optimizers[i]->name()), kAsPlain);
    train(*twin, *without, 2);

    const torch::NoGradGuard no_grad;
    int calls = 0;
    for (int step = 0; step < 2; ++step) {
      const torch::Tensor value = optimizers[i]->step([&] {
        ++calls;
        optimizers[i]->zero_grad();
        const torch::Tensor loss = test::loss(*models[i], rank(), step);
        loss.backward();
        return loss;
      });
      EXPECT_TRUE(value.defined());
    }
    EXPECT_EQ(calls, 2);
    test::expect_equal(models[i]->parameters(), twin->parameters());
    EXPECT_FALSE(optimizers[i]->step().defined());
  }
}

TEST_F(UsageTest, AllFormsOfZeroGradWork) {
  for (const bool is_gossip : {true, false}) {
    std::vector<std::string> results;
    for (const bool of_module : {false, true}) {
      for (const bool set_to_none : {false, true}) {
        const auto model = test::make<Branches>(8);
        auto local = std::make_unique<torch::optim::SGD>(test::sgd(*model));
        const auto optimizer = make_optimizer(is_gossip ? "gossip-sgd" : "allreduce", world(),
                                              *model, std::move(local), topology::ring(size()));
        for (int step = 0; step < 4; ++step) {
          if (of_module) {
            model->zero_grad(set_to_none);
          } else {
            optimizer->zero_grad(set_to_none);
          }
          // Zeroed or undefined, what nobody uses stays as it is.
          test::loss(*model, rank(), step).backward();
          optimizer->step();
        }
        EXPECT_FALSE(model->unused->weight.grad().defined());
        EXPECT_FALSE(model->frozen.grad().defined());
        results.push_back(test::bytes_of(model->parameters()));
      }
    }
    for (const std::string& result : results) EXPECT_EQ(result, results[0]) << is_gossip;
  }
}

TEST_F(UsageTest, GradientsMayHaveAnotherTypeThanTheirParameters) {
  for (const auto type : {torch::kFloat32, torch::kHalf}) {
    std::vector<std::shared_ptr<Branches>> models;
    while (models.size() < 2 * optimizer_names().size()) models.push_back(test::make<Branches>(7));
    std::size_t next = 0;
    const auto next_model = [&]() -> torch::nn::Module& { return *models[next++]; };
    const auto optimizers = synchronous(next_model, 0.1);
    const auto twins = synchronous(next_model, 0.1);
    const auto step = [&](Branches& model, Decentralized& optimizer, int number, bool is_twin) {
      optimizer.zero_grad();
      test::loss(model, rank(), number).backward();
      for (torch::Tensor& parameter : model.parameters()) {
        if (!parameter.grad().defined()) continue;
        const torch::Tensor gradient = parameter.grad().to(type);
        parameter.mutable_grad() = is_twin ? gradient.to(torch::kFloat64) : gradient;
      }
      optimizer.step();
    };
    for (std::size_t i = 0; i < optimizers.size(); ++i) {
      SCOPED_TRACE(optimizers[i]->name());
      for (int number = 0; number < 2; ++number) {
        step(*models[i], *optimizers[i], number, false);
        step(*models[optimizers.size() + i], *twins[i], number, true);
      }
      // The mean of AllReduce comes back in the gradient's type.
      test::expect_near(models[i]->parameters(), models[optimizers.size() + i]->parameters(), 1e-3);
    }
  }
}

TEST_F(UsageTest, NoSyncMakesStepsLocal) {
  const auto model = test::make<Branches>(9);
  const auto alone = test::make<Branches>(9);
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::complete(size()));
  auto local = test::sgd(*alone);
  {
    const auto guard = optimizer.no_sync();
    train(*model, optimizer, 3);
    for (int step = 0; step < 3; ++step) {
      local.zero_grad();
      test::loss(*alone, rank(), step).backward();
      local.step();
    }
    test::expect_equal(model->parameters(), alone->parameters());
    EXPECT_EQ(optimizer.counters().gossip_rounds, 0);
  }
  train(*model, optimizer, 1, 3);
  EXPECT_EQ(optimizer.counters().gossip_rounds, 1);
  EXPECT_LT(optimizer.consensus_distance(), 1e-12);
}

TEST_F(UsageTest, TrackersLeaveTheGradientsAsTheyWere) {
  const auto model = test::make<Branches>(9);
  GradientTracking optimizer(world(), *model, test::sgd(*model), topology::complete(size()));
  for (int step = 0; step < 3; ++step) {
    model->zero_grad();
    test::loss(*model, rank(), step).backward();
    std::vector<torch::Tensor> before;
    for (const torch::Tensor& parameter : model->parameters()) {
      before.push_back(parameter.grad().defined() ? parameter.grad().clone() : torch::Tensor());
    }
    optimizer.step();
    for (std::size_t i = 0; i < before.size(); ++i) {
      const torch::Tensor& after = model->parameters()[i].grad();
      ASSERT_EQ(after.defined(), before[i].defined());
      EXPECT_TRUE(!after.defined() || torch::equal(after, before[i])) << "parameter " << i;
    }
  }
}

TEST_F(UsageTest, LocalStepsMixEverySoOften) {
  const auto model = test::make<Branches>(9);
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::complete(size()),
                      GossipSGDOptions().local_steps(3));
  train(*model, optimizer, 2);
  EXPECT_EQ(optimizer.counters().gossip_rounds, 0);
  if (size() > 1) {
    EXPECT_GT(optimizer.consensus_distance(), 1e-6);
  } else {
    EXPECT_EQ(optimizer.consensus_distance(), 0.0);
  }
  train(*model, optimizer, 1, 2);
  EXPECT_EQ(optimizer.counters().gossip_rounds, 1);
  EXPECT_LT(optimizer.consensus_distance(), 1e-12);
  EXPECT_EQ(optimizer.steps(), 3);
}

TEST_F(UsageTest, LoadingAModelBetweenStepsTakesEffect) {
  const auto model = test::make<Branches>(9);
  const auto other = test::make<Branches>(11);
  GossipSGD optimizer(world(), *model, test::sgd(*model, 0.0), topology::ring(size()));
  train(*model, optimizer, 1);
  std::stringstream file;
  torch::serialize::OutputArchive saved;
  other->save(saved);
  saved.save_to(file);
  torch::serialize::InputArchive archive;
  archive.load_from(file);
  model->load(archive);

  train(*model, optimizer, 1);  // with a rate of 0

  test::expect_near(model->parameters(), other->parameters(), 1e-15);
}

TEST_F(UsageTest, ModelsWithBatchNormTrain) {
  std::vector<std::shared_ptr<Normed>> models;
  while (models.size() < optimizer_names().size()) models.push_back(test::make<Normed>(7));
  std::size_t next = 0;
  const auto optimizers = synchronous([&]() -> torch::nn::Module& { return *models[next++]; }, 0.1);
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    const double before = test::loss(*models[i], rank(), 0).item<double>();
    for (int step = 0; step < 30; ++step) {
      optimizers[i]->zero_grad();
      test::loss(*models[i], rank(), 0).backward();
      optimizers[i]->step();
    }
    EXPECT_LT(test::loss(*models[i], rank(), 0).item<double>(), 0.9 * before) << i;
    optimizers[i]->with_mean_model([&] {
      models[i]->eval();
      const double evaluated = test::loss(*models[i], 0, 0).item<double>();
      EXPECT_TRUE(is_same_everywhere(std::to_string(evaluated)));
      models[i]->train();
    });
  }
}

/// Which see other data than the other half.
TEST_F(UsageTest, RanksOfAHalfTrainBesideAllOfThem) {
  const auto half = world().split(rank() % 2, 0);
  for (const char* method : {"gossip-sgd", "allreduce", "push-sum", "ad-psgd"}) {
    SCOPED_TRACE(method);
    const auto of_all = test::make<Branches>(9);
    const auto of_half = test::make<Branches>(7);
    GossipSGD among_all(world(), *of_all, test::sgd(*of_all), topology::complete(size()));
    const auto among_half = make_optimizer(method, *half, *of_half,
                                           std::make_unique<torch::optim::SGD>(test::sgd(*of_half)),
                                           topology::complete(half->size()), OptimizerOptions());
    for (int step = 0; step < 3; ++step) {
      train(*of_all, among_all, 1, step);
      train(*of_half, *among_half, 1, step);
    }
    std::string mean;
    among_half->with_mean_model([&] { mean = test::bytes_of(of_half->parameters()); });
    const std::vector<std::string> means = world().all_gather(mean);
    for (Rank other = 0; other < size(); ++other) {
      EXPECT_EQ(means[static_cast<std::size_t>(other)] == mean, other % 2 == rank() % 2) << other;
    }
  }
}

TEST_F(UsageTest, ARankThatRunsOutOfBatchesEndsTheOthers) {
  if (size() == 1) return;  // nobody to wait for
  const auto model = test::make<Branches>(9);
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::complete(size()),
                      GossipSGDOptions().timeout(std::chrono::seconds(30)));
  train(*model, optimizer, 3);

  if (rank() != last()) {  // who goes on to the end of the optimizer
    test::expect_throw<Error>([&] { train(*model, optimizer, 1); },
                              {"left the training loop after 3 steps", "in step 4"});
  }
}

TEST_F(UsageTest, AnEvaluationThatOneRankMakesAloneCostsNoOther) {
  if (size() == 1) return;
  for (const char* method : {"gossip-sgd", "push-sum", "allreduce"}) {
    SCOPED_TRACE(method);
    const auto model = test::make<Branches>(9);
    OptimizerOptions options;
    options.timeout = std::chrono::seconds(rank() == 0 ? 3 : 60);
    const auto optimizer = make_optimizer(method, world(), *model,
                                          std::make_unique<torch::optim::SGD>(test::sgd(*model)),
                                          topology::complete(size()), options);
    train(*model, *optimizer, 2);
    if (rank() == 0) {
      test::expect_throw<TimeoutError>([&] { static_cast<void>(optimizer->consensus_distance()); },
                                       {"in consensus_distance() after 2 steps"});
    }
    MPI_Barrier(MPI_COMM_WORLD);
    train(*model, *optimizer, 2, 2);
    optimizer->with_mean_model([&] {  // so long that the others ask where rank 0 is
      if (rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(400));
    });
    EXPECT_NO_THROW(train(*model, *optimizer, 1, 4));
    world().barrier();
  }
}

TEST_F(UsageTest, AnEvaluationThatIsLateEndsNobody) {
  const auto model = test::make<Branches>(9);
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::complete(size()));
  for (int training_epoch = 0; training_epoch < 2; ++training_epoch) {
    train(*model, optimizer, 2);
    if (rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(250));
    optimizer.with_mean_model([&] {
      if (rank() == last()) std::this_thread::sleep_for(std::chrono::milliseconds(250));
    });
  }
  EXPECT_EQ(optimizer.steps(), 4);
}

}  // namespace
}  // namespace gossip::optim
