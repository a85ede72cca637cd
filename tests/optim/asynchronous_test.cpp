// SPDX-License-Identifier: Apache-2.0
// What all optimizers that need no rounds do, and push-sum in rounds.
#include <limits>
#include <span>
#include <sstream>
#include <string_view>
#include <thread>
#include <tuple>

#include <libgossip/base/deadline.h>
#include <libgossip/optim/async_gossip.h>
#include <libgossip/optim/factory.h>
#include <libgossip/topology/weights.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::Normed;

struct Method {
  const char* name;
  bool overlap;
};

std::ostream& operator<<(std::ostream& stream, const Method& method) {
  return stream << method.name << (method.overlap ? " --overlap" : "");
}

constexpr Method kMethods[] = {{"push-sum", false},
                               {"push-sum", true},
                               {"async-gossip", false},
                               {"ad-psgd", false},
                               {"a2cid2", false}};

class AsynchronousTest : public test::OptimTest {
 protected:
  [[nodiscard]] std::unique_ptr<Decentralized> make(const Method& method, torch::nn::Module& model,
                                                    double rate = 0.1,
                                                    double momentum = 0.0) const {
    return make_optimizer(method.name, world(), model,
                          std::make_unique<torch::optim::SGD>(test::sgd(model, rate, momentum)),
                          topology::ring(size()),
                          {.overlap = method.overlap, .timeout = std::chrono::seconds(30)});
  }

  [[nodiscard]] static bool is_free(const Method& method) {
    return is_asynchronous(method.name, {.overlap = method.overlap});
  }

  template <class Module>
  void step(Module& model, Decentralized& optimizer) const {
    optimizer.zero_grad();
    test::loss(model, rank(), static_cast<int>(optimizer.steps() % 7)).backward();
    optimizer.step();
  }

  /// Until the ranks have made `steps` each, on average; the last one is slow.
  template <class Module>
  void train(const Method& method, Module& model, Decentralized& optimizer, int steps) const {
    const std::int64_t first = optimizer.steps();
    const auto is_done = [&] {
      if (!is_free(method)) return optimizer.steps() >= first + steps;
      return optimizer.job_steps() >= (first + steps) * size();
    };
    while (!is_done()) {
      step(model, optimizer);
      if (rank() == last()) std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  }

  /// Of the mean model, over all ranks' data.
  template <class Module>
  [[nodiscard]] double loss_of_mean(Module& model, Decentralized& optimizer) const {
    double result = 0.0;
    optimizer.with_mean_model([&] {
      const torch::NoGradGuard no_grad;
      for (int batch = 0; batch < 7; ++batch) {
        result += test::loss(model, rank(), batch).template item<double>() / 7;
      }
      result = transport::mean_of(world(), result);
    });
    return result;
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

TEST_F(AsynchronousTest, TrainsNearTheSynchronousResult) {
  constexpr int kSteps = 400;
  const auto reference = test::make<Branches>(3);
  AllReduce synchronous(world(), *reference, test::sgd(*reference, 0.05));
  const double start = loss_of_mean(*reference, synchronous);
  for (int i = 0; i < kSteps; ++i) step(*reference, synchronous);
  const double expected = loss_of_mean(*reference, synchronous);
  EXPECT_LT(expected, 0.7 * start);

  for (const Method& method : kMethods) {
    const auto model = test::make<Branches>(3);
    const auto optimizer = make(method, *model, 0.05);
    train(method, *model, *optimizer, kSteps);
    const double loss = loss_of_mean(*model, *optimizer);
    EXPECT_LT(loss, expected + 0.2 * (start - expected)) << method;
    EXPECT_GE(optimizer->job_steps(), kSteps * size()) << method;
    if (size() > 1) {
      EXPECT_GT(optimizer->counters().bytes_averaged + optimizer->counters().bytes_received, 0U)
          << method;
    }
  }
}

TEST_F(AsynchronousTest, AStateIsSavedAndLoadedWhilePaused) {
  for (const Method& method : kMethods) {
    const auto model = test::make<Normed>(2);
    const auto optimizer = make(method, *model, 0.05, 0.9);
    train(method, *model, *optimizer, 10);
    std::string model_state;
    std::string optimizer_state;
    optimizer->paused([&] {
      model_state = saved(*model);
      optimizer_state = saved(*optimizer);
    });
    const std::int64_t steps = optimizer->steps();
    const double weight = optimizer->weight();
    const double loss = loss_of_mean(*model, *optimizer);
    EXPECT_NEAR(transport::mean_of(world(), weight), 1.0, 1e-12) << method;
    train(method, *model, *optimizer, 5);

    const auto again = test::make<Normed>(77);
    const auto resumed = make(method, *again, 0.05, 0.9);
    resumed->paused([&] {
      load(*again, model_state);
      load(*resumed, optimizer_state);
    });
    EXPECT_EQ(resumed->steps(), steps) << method;
    EXPECT_EQ(resumed->weight(), weight) << method;
    EXPECT_EQ(loss_of_mean(*again, *resumed), loss) << method;
    for (int i = 0; i < 5; ++i) step(*again, *resumed);
    EXPECT_EQ(resumed->steps(), steps + 5) << method;
  }
}

/// A model of one number, all of whose gradients are 0.
struct Number {
  explicit Number(double value) {
    torch::NoGradGuard no_grad;
    model->to(torch::kFloat64);
    model->weight.fill_(value);
  }
  void step(Decentralized& optimizer) {
    optimizer.zero_grad();
    (0.0 * model->weight).sum().backward();
    optimizer.step();
  }
  [[nodiscard]] double value() const { return model->weight.item<double>(); }

  torch::nn::Linear model{torch::nn::LinearOptions(1, 1).bias(false)};
};

std::vector<Method> all_methods() {
  std::vector<Method> methods{{"push-sum", true}, {"choco-sgd", true}};
  for (const OptimizerName& entry : optimizer_names()) {
    methods.push_back({entry.name.data(), false});
  }
  return methods;
}

/// Of any method, in the middle of a round after the first step.
std::unique_ptr<Decentralized> make_any(const Method& method, transport::Group& group,
                                        Number& number, std::chrono::milliseconds timeout) {
  return make_optimizer(method.name, group, *number.model,
                        std::make_unique<torch::optim::SGD>(test::sgd(*number.model)),
                        topology::ring(group.size()),
                        {.local_steps = 3,
                         .outer_steps = 6,
                         .fragments = 2,
                         .compression = 1.0,
                         .mu = 0.1,
                         .lipschitz = 10.0,
                         .overlap = method.overlap,
                         .timeout = timeout});
}

/// Nothing moves it then, whatever the ranks were before the load and at whatever pace they go on.
TEST_F(AsynchronousTest, AModelThatIsLoadedIsMixedWithNothingFromBeforeTheLoad) {
  constexpr auto kLongest = std::chrono::milliseconds::max();
  for (const Method& method : all_methods()) {
    std::string model_state;
    std::string optimizer_state;
    {
      Number number(1.0);
      const auto optimizer = make_any(method, world(), number, kLongest);
      number.step(*optimizer);
      optimizer->paused([&] {
        model_state = saved(*number.model);
        optimizer_state = saved(*optimizer);
      });
    }
    Number number(100.0);
    const auto optimizer = make_any(method, world(), number, kLongest);
    for (int step = 0; step < 20; ++step) number.step(*optimizer);
    optimizer->paused([&] {
      load(*number.model, model_state);
      load(*optimizer, optimizer_state);
    });

    constexpr int kSteps = 3;
    EXPECT_LE(optimizer->job_steps(), (1 + kSteps) * size()) << method;
    const bool steps_late = is_free(method) && rank() == last();
    for (int step = 0; step < kSteps && !steps_late; ++step) number.step(*optimizer);
    if (is_free(method)) world().barrier();
    for (int step = 0; step < kSteps && steps_late; ++step) number.step(*optimizer);

    // DADAO has a gradient of its own, the weight decay's.
    const bool decays = std::string_view(method.name) == "dadao";
    EXPECT_NEAR(number.value(), 1.0, decays ? 0.5 : 1e-12) << method;
    EXPECT_EQ(optimizer->steps(), 1 + kSteps) << method;
    const auto know_all_steps = [&] { return optimizer->job_steps() == (1 + kSteps) * size(); };
    EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), know_all_steps)) << method;
    world().barrier();
  }
}

/// The last rank does not come. A group of its own for each method, in which what is started stays.
TEST_F(AsynchronousTest, TheShortestTimeoutIsAnErrorThatCanBeCaught) {
  if (size() == 1) return;
  for (const Method& method : all_methods()) {
    std::vector<std::string> failures;
    try {
      const auto group =
          transport::make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD));
      Number number(1.0);
      const auto optimizer = make_any(method, *group, number, std::chrono::milliseconds(1));
      for (int step = 0; step < 50 && rank() != last(); ++step) number.step(*optimizer);
      failures = world().all_gather("");
      throw Error("the end of the ranks that did not fail, which unwinds as the others'");
    } catch (const Error& error) {
      if (failures.empty()) failures = world().all_gather(error.what());
    }
    const bool has_failed =
        std::ranges::any_of(failures, [](const auto& text) { return !text.empty(); });
    EXPECT_TRUE(has_failed || is_free(method)) << method;
  }
}

TEST_F(AsynchronousTest, AnEvaluationThatOneRankMakesAloneCostsNoOther) {
  if (size() == 1) return;
  for (const char* method : {"ad-psgd", "dadao"}) {
    const auto group = transport::make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD));
    Number number(1.0);
    const auto optimizer = make_any({method, false}, *group, number, std::chrono::seconds(2));
    const std::string at_first = saved(*optimizer);
    for (const Rank alone : {0, last()}) {
      constexpr int kSteps = 10;
      for (int step = 0; step < kSteps; ++step) number.step(*optimizer);
      if (rank() == alone) {
        test::expect_throw<TimeoutError>([&] { optimizer->with_mean_model([] {}); },
                                         {"in with_mean_model() after"});
      }
      world().barrier();
      // DADAO's events go on when the news has come that all are there. Ranks that waited for each
      // other here would keep them back.
      const auto largest = world().make_largest(1);
      const std::uint64_t averaged = optimizer->counters().bytes_averaged;
      const Deadline deadline(std::chrono::seconds(20));
      const auto does_one_lack_events = [&] {
        const bool lacks = optimizer->counters().bytes_averaged == averaged;
        const double own = lacks && !deadline.has_passed() ? 1.0 : 0.0;
        largest->start(std::span(&own, 1));
        while (!largest->test()) number.step(*optimizer);
        return largest->numbers().front() > 0.0;
      };
      while (does_one_lack_events()) number.step(*optimizer);
      int calls = 0;
      EXPECT_NO_THROW(optimizer->with_mean_model([&] { ++calls; }));
      EXPECT_EQ(calls, 1);
      EXPECT_GT(optimizer->counters().bytes_averaged, averaged) << method;
      EXPECT_NO_THROW(static_cast<void>(optimizer->consensus_distance()));

      optimizer->paused([&] { load(*optimizer, at_first); });
      number.step(*optimizer);
      const auto know_all_steps = [&] { return optimizer->job_steps() == size(); };
      EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), know_all_steps)) << method;
      world().barrier();
    }
  }
}

TEST_F(AsynchronousTest, TheModuleLivesOnWithoutItsOptimizer) {
  for (const Method& method : kMethods) {
    const auto model = test::make<Normed>(5);
    std::vector<torch::Tensor> before;
    {
      const auto optimizer = make(method, *model);
      train(method, *model, *optimizer, 3);
      optimizer->paused([&] { before = test::copies_of(model->parameters()); });
    }
    test::expect_equal(model->parameters(), before);
    auto local = test::sgd(*model);
    local.zero_grad();
    test::loss(*model, rank(), 1).backward();
    local.step();
    EXPECT_FALSE(torch::equal(model->parameters()[0], before[0])) << method;
  }
}

TEST_F(AsynchronousTest, OneRankGetsTheBitsOfTheLocalOptimizer) {
  if (size() > 1) return;
  const auto reference = test::make<Normed>(9);
  auto local = test::sgd(*reference, 0.1, 0.9);
  for (int i = 0; i < 20; ++i) {
    local.zero_grad();
    test::loss(*reference, rank(), i % 7).backward();
    local.step();
  }
  for (const Method& method : kMethods) {
    const auto model = test::make<Normed>(9);
    const auto optimizer = make(method, *model, 0.1, 0.9);
    for (int i = 0; i < 20; ++i) step(*model, *optimizer);
    test::expect_equal(model->parameters(), reference->parameters());
  }
}

TEST_F(AsynchronousTest, StepsUnderNoSyncAreLocal) {
  for (const Method& method : kMethods) {
    const auto model = test::make<Branches>(4);
    const auto optimizer = make(method, *model);
    {
      const auto guard = optimizer->no_sync();
      for (int i = 0; i < 3; ++i) step(*model, *optimizer);
    }
    EXPECT_EQ(optimizer->counters().bytes_sent, 0U) << method;
    EXPECT_EQ(optimizer->steps(), 3) << method;
  }
}

TEST_F(AsynchronousTest, GraphsThatAMethodCannotUseAreRefused) {
  if (size() < 3) return;
  const topology::Graph two_parts = topology::Graph::undirected(size(), {{0, 1}}, "parts");
  for (const char* name : {"ad-psgd", "a2cid2"}) {
    const auto model = test::make<Branches>(1);
    test::expect_throw<JointError>(
        [&] {
          static_cast<void>(make_optimizer(
              name, world(), *model, std::make_unique<torch::optim::SGD>(test::sgd(*model)),
              topology::Schedule(topology::metropolis(two_parts), "parts"), {}));
        },
        {"parts"});
  }
  EXPECT_TRUE(is_same_everywhere("still in step"));
}

TEST_F(AsynchronousTest, OptionsOutOfRangeAreRefused) {
  const auto model = test::make<Branches>(1);
  const auto refused = [&](const char* name, const OptimizerOptions& options,
                           const std::string& text) {
    test::expect_throw<JointError>(
        [&] {
          static_cast<void>(make_optimizer(name, world(), *model,
                                           std::make_unique<torch::optim::SGD>(test::sgd(*model)),
                                           topology::complete(size()), options));
        },
        {text});
  };
  for (const double number : {0.0, -1.0, 1e10, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    for (const char* name : {"ad-psgd", "a2cid2"}) {
      refused(name, {.exchanges_per_step = number}, "exchanges_per_step");
    }
  }
  for (const Method& method : all_methods()) {
    SCOPED_TRACE(method.name);
    Number number(1.0);
    test::expect_throw<JointError>(
        [&] { std::ignore = make_any(method, world(), number, std::chrono::milliseconds(0)); },
        {"The timeout is 0 ms"});
  }
  test::expect_throw<JointError>(
      [&] {
        AsyncGossip(world(), *model, test::sgd(*model), topology::ring(size()),
                    AsyncGossipOptions().exponent(-1.0));
      },
      {"exponent"});
  EXPECT_TRUE(is_same_everywhere("still in step"));
}

}  // namespace
}  // namespace gossip::optim
