// SPDX-License-Identifier: Apache-2.0
#include <libgossip/engine/model_port.h>

#include "optim/optim_test_support.h"

namespace gossip::optim {
namespace {

using test::Branches;
using test::Normed;

/// Everything in a module that is a tensor.
std::vector<torch::Tensor> all_of(const torch::nn::Module& module) {
  std::vector<torch::Tensor> all = test::copies_of(module.parameters());
  for (const torch::Tensor& buffer : test::copies_of(module.buffers())) all.push_back(buffer);
  return all;
}

class MeanModelTest : public test::OptimTest {
 protected:
  /// A model that differs by rank in parameters and statistics.
  [[nodiscard]] std::shared_ptr<Normed> own_model(Rank rank) const {
    auto model = test::make<Normed>(static_cast<std::uint64_t>(rank) + 10);
    for (int step = 0; step <= rank; ++step) model->forward(test::batch(rank, step));
    return model;
  }

  /// The mean of what all ranks start with; of integers rank 0's.
  [[nodiscard]] std::vector<torch::Tensor> mean_of_starts() const {
    std::vector<torch::Tensor> mean = all_of(*own_model(0));
    for (Rank other = 1; other < size(); ++other) {
      const auto theirs = all_of(*own_model(other));
      for (std::size_t i = 0; i < mean.size(); ++i) {
        if (mean[i].is_floating_point()) mean[i] += theirs[i];
      }
    }
    for (torch::Tensor& tensor : mean) {
      if (tensor.is_floating_point()) tensor /= size();
    }
    return mean;
  }

  [[nodiscard]] std::shared_ptr<Normed> start(Initial initial) const {
    auto model = own_model(rank());
    const GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                              GossipSGDOptions().initial(initial));
    return model;
  }
};

TEST_F(MeanModelTest, StartsFromRankZerosModel) {
  test::expect_equal(all_of(*start(Initial::kBroadcast)), all_of(*own_model(0)));
  const auto with_all_reduce = own_model(rank());
  const AllReduce optimizer(world(), *with_all_reduce, test::sgd(*with_all_reduce));
  test::expect_equal(all_of(*with_all_reduce), all_of(*own_model(0)));
}

TEST_F(MeanModelTest, StartsFromTheMean) {
  test::expect_near(all_of(*start(Initial::kMean)), mean_of_starts());
}

TEST_F(MeanModelTest, StartsFromItsOwn) {
  test::expect_equal(all_of(*start(Initial::kKeep)), all_of(*own_model(rank())));
}

TEST_F(MeanModelTest, FrozenParametersStartAlikeToo) {
  const auto model = test::make<Branches>(static_cast<std::uint64_t>(rank()) + 10);
  const GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()));
  EXPECT_TRUE(torch::equal(model->frozen, test::make<Branches>(10)->frozen));
}

TEST_F(MeanModelTest, PutsTheMeanInAndTheOwnBack) {
  const auto model = own_model(rank());
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto own = all_of(*model);
  auto mean = mean_of_starts();
  const std::size_t batches = mean.size() - 1;  // the last buffer, an integer, is not averaged
  EXPECT_FALSE(mean[batches].is_floating_point());
  mean[batches] = own[batches];

  int calls = 0;
  optimizer.with_mean_model([&] {
    ++calls;
    test::expect_near(all_of(*model), mean);
  });

  EXPECT_EQ(calls, 1);
  test::expect_equal(all_of(*model), own);
}

TEST_F(MeanModelTest, PutsTheOwnBackWhenTheBodyThrows) {
  const auto model = own_model(rank());
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto own = all_of(*model);

  EXPECT_THROW(optimizer.with_mean_model([] { throw std::runtime_error("on purpose"); }),
               std::runtime_error);

  test::expect_equal(all_of(*model), own);
}

TEST_F(MeanModelTest, ConsensusDistanceIsTheRootOfTheMeanSquare) {
  const auto model = own_model(rank());
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto mean = mean_of_starts();
  double squares = 0.0;
  for (Rank other = 0; other < size(); ++other) {
    const auto theirs = test::copies_of(own_model(other)->parameters());
    for (std::size_t i = 0; i < theirs.size(); ++i)
      squares += (theirs[i] - mean[i]).square().sum().item<double>();
  }

  const double distance = optimizer.consensus_distance();

  EXPECT_NEAR(distance, std::sqrt(squares / size()), 1e-12);
  EXPECT_TRUE(is_same_everywhere(std::to_string(distance)));
  if (size() > 1) {
    EXPECT_GT(distance, 0.1);
  }
}

/// A block under two names, and buffers that share memory.
struct Shared : torch::nn::Module {
  Shared() {
    norm = register_module("norm", torch::nn::BatchNorm1d(3));
    again = register_module("again", norm);
    last = register_module("last", torch::nn::Linear(3, 1));
    whole = register_buffer("whole", torch::rand({4}));
    part = register_buffer("part", whole.narrow(0, 1, 2));
    alias = register_buffer("alias", whole.detach());
    repeated = register_buffer("repeated", torch::rand({1, 2}).expand({3, 2}));
    shown = register_buffer("shown", last->weight.detach());
    half = register_buffer("half", torch::rand({3}).to(torch::kHalf));
    brief = register_buffer("brief", torch::rand({3}).to(torch::kBFloat16));
    count = register_buffer("count", torch::zeros({1}, torch::kLong));
  }
  void fill(Rank rank) {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : parameters()) parameter.fill_(rank);
    for (const auto& item : named_buffers()) {
      torch::Tensor buffer = item.value();
      if (item.key() == "repeated") buffer = buffer.narrow(0, 0, 1);
      buffer.fill_(2.0 * rank + 1.0);
    }
    last->weight.fill_(rank);
  }
  torch::nn::BatchNorm1d norm{nullptr}, again{nullptr};
  torch::nn::Linear last{nullptr};
  torch::Tensor whole, part, alias, repeated, shown, half, brief, count;
};

TEST_F(MeanModelTest, EachTensorIsAveragedOnceAndPutBack) {
  Shared model;
  GossipSGD optimizer(world(), model, torch::optim::SGD(model.parameters(), 0.1),
                      topology::ring(size()));
  model.fill(rank());
  const auto own = all_of(model);
  const double mean = (size() - 1.0) / 2;

  optimizer.with_mean_model([&] {
    for (const torch::Tensor& parameter : model.parameters()) {
      EXPECT_NEAR(parameter.flatten()[0].item<double>(), mean, 1e-6);
    }
    for (const torch::Tensor& buffer : {model.norm->running_mean, model.whole, model.part,
                                        model.alias, model.repeated, model.half, model.brief}) {
      EXPECT_TRUE(torch::all(buffer == 2.0 * mean + 1.0).item<bool>()) << buffer;
    }
    EXPECT_TRUE(torch::equal(model.shown, model.last->weight));
    EXPECT_EQ(model.count.item<std::int64_t>(), 2 * rank() + 1) << "an integer";
  });

  test::expect_equal(all_of(model), own);
  EXPECT_EQ(model.part.data_ptr(), model.whole[1].data_ptr());
}

TEST_F(MeanModelTest, BuffersOfEveryTypeStartFromTheMean) {
  Shared model;
  model.fill(rank());
  const GossipSGD optimizer(world(), model, torch::optim::SGD(model.parameters(), 0.1),
                            topology::ring(size()), GossipSGDOptions().initial(Initial::kMean));
  for (const torch::Tensor& buffer :
       {model.norm->running_mean, model.whole, model.repeated, model.half, model.brief}) {
    EXPECT_TRUE(torch::all(buffer == 1.0 * size()).item<bool>()) << buffer;
  }
  EXPECT_EQ(model.count.item<std::int64_t>(), 1) << "rank 0's";
}

TEST_F(MeanModelTest, ABodyMayConvertTheModule) {
  const auto model = own_model(rank());
  model->first->bias.set_requires_grad(false);
  const torch::Tensor tied = model->register_buffer("tied", torch::empty({}, torch::kFloat64));
  tied.set_data(model->norm->running_mean.data());
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto own = all_of(*model);
  optimizer.with_mean_model([&] { model->to(torch::kFloat32); });
  EXPECT_EQ(model->first->weight.dtype(), torch::kFloat64);
  EXPECT_EQ(model->first->bias.dtype(), torch::kFloat64);
  EXPECT_EQ(model->norm->num_batches_tracked.dtype(), torch::kInt64);
  EXPECT_EQ(tied.data_ptr(), model->norm->running_mean.data_ptr());
  EXPECT_EQ(tied.dtype(), torch::kFloat64);
  test::expect_equal(test::copies_of(model->parameters()),
                     std::vector(own.begin(), own.begin() + 6));
  EXPECT_TRUE(torch::equal(model->norm->running_var, own[8]));
  test::loss(*model, rank(), 0).backward();
  optimizer.step();
}

TEST_F(MeanModelTest, ABodyMayTrainAndWriteInPlace) {
  const auto model = own_model(rank());
  model->first->bias.set_requires_grad(false);
  const torch::Tensor flag = model->register_buffer("flag", torch::zeros({1}, torch::kBool));
  GossipSGD optimizer(world(), *model, test::sgd(*model), topology::ring(size()),
                      GossipSGDOptions().initial(Initial::kKeep));
  const auto own = all_of(*model);
  optimizer.with_mean_model([&] {
    test::loss(*model, rank(), 7);  // counts a batch
    const torch::NoGradGuard no_grad;
    model->first->bias.add_(1.0);
    flag.fill_(true);
  });
  test::expect_equal(all_of(*model), own);
}

/// Has the model in memory of its own, and fails where it is told to.
class FailingWorker final : public engine::Worker {
 public:
  FailingWorker(const std::vector<VectorView>& shapes, std::string fails)
      : fails_(std::move(fails)) {
    for (const VectorView& shape : shapes) {
      memory_.emplace_back(shape.bytes());
      model_.emplace_back(shape.dtype, memory_.back().data(), shape.size);
    }
  }
  ~FailingWorker() override {
    for (std::vector<std::byte>& memory : memory_) std::ranges::fill(memory, std::byte{7});
  }
  [[nodiscard]] std::vector<VectorView> model_memory() override { return model_; }
  void prepare(const policy::Decision& /*decision*/) override { fail("prepare"); }
  void finish(const policy::Decision& /*decision*/) override { ++position_.step; }
  void leave() override { fail("leave"); }
  void come_back() override { fail("come_back"); }
  void come_back_alone() override {}
  [[nodiscard]] engine::Position position() const override { return position_; }
  void set_position(const engine::Position& position) override { position_ = position; }
  [[nodiscard]] std::int64_t job_steps() const override { return position_.step; }
  [[nodiscard]] engine::Counters counters() const override { return {}; }
  [[nodiscard]] bool is_synchronous() const override { return true; }
  [[nodiscard]] std::size_t memory_bytes() const override { return 0; }

 private:
  void fail(const std::string& where) const {
    if (where == fails_) throw TimeoutError(-1, where + " failed");
  }
  std::string fails_;
  std::vector<std::vector<std::byte>> memory_;
  std::vector<VectorView> model_;
  engine::Position position_;
};

class Failing final : public Decentralized {
 public:
  Failing(transport::Group& group, torch::nn::Module& module, const std::string& fails)
      : Decentralized(group, module, std::make_unique<torch::optim::SGD>(module.parameters(), 0.1),
                      [&]() -> MakeWorker {
                        return [&](engine::ModelPort& port) {
                          return std::make_unique<FailingWorker>(port.model(), fails);
                        };
                      },
                      topology::ring(group.size()),
                      {.initial = Initial::kKeep, .name = "failing", .text = ""}),
        fails_(fails) {}

 private:
  /// As an average that ends in the middle of the model.
  [[nodiscard]] std::vector<VectorView> evaluated() override {
    if (fails_ != "average") return Decentralized::evaluated();
    model::tensor_of(flat_model().parameters()[0]).fill_(7.0);
    throw TimeoutError(-1, "the average failed");
  }
  std::string fails_;
};

TEST_F(MeanModelTest, AnAverageThatFailsLeavesTheOwnModel) {
  const auto model = own_model(rank());
  const auto own = all_of(*model);
  Failing optimizer(world(), *model, "average");
  bool was_called = false;
  test::expect_throw<TimeoutError>([&] { optimizer.with_mean_model([&] { was_called = true; }); },
                                   {"the average failed"});
  EXPECT_FALSE(was_called);
  test::expect_equal(all_of(*model), own);
}

TEST_F(MeanModelTest, WhoCannotComeBackGetsTheError) {
  const auto model = own_model(rank());
  const auto own = all_of(*model);
  Failing optimizer(world(), *model, "come_back");
  const std::vector<std::string> parts{"come_back failed"};
  test::expect_throw<TimeoutError>([&] { optimizer.with_mean_model([] {}); }, parts);
  test::expect_throw<TimeoutError>([&] { optimizer.paused([] {}); }, parts);
  test::expect_throw<TimeoutError>([&] { static_cast<void>(optimizer.consensus_distance()); },
                                   parts);
  // An error of the body comes first.
  test::expect_throw<std::runtime_error>(
      [&] { optimizer.with_mean_model([] { throw std::runtime_error("on purpose"); }); },
      {"on purpose"});
  test::expect_equal(all_of(*model), own);
  optimizer.step();
}

TEST_F(MeanModelTest, AModuleOutlivesAConstructionThatFails) {
  const auto model = own_model(rank());
  const auto own = all_of(*model);
  test::expect_throw<TimeoutError>([&] { const Failing optimizer(world(), *model, "prepare"); },
                                   {"prepare failed"});
  test::expect_equal(all_of(*model), own);
}

TEST_F(MeanModelTest, AnOptimizerThatCannotLeaveEnds) {
  const auto model = own_model(rank());
  const auto own = all_of(*model);
  { const Failing optimizer(world(), *model, "leave"); }
  test::expect_equal(all_of(*model), own);
}

}  // namespace
}  // namespace gossip::optim
