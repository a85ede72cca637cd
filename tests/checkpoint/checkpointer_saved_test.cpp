// SPDX-License-Identifier: Apache-2.0
// What can be saved, and that start() and resume() refuse the rest.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpointer_test_support.h"

namespace gossip::checkpoint {
namespace {

using test::CheckpointerTest;
using test::momentum_sgd;
using test::SharedFolder;
using test::Trainee;

/// What a program adds, and nothing that reads it.
Checkpointer::Part part_of(const std::function<model::StateDict()>& save) {
  return {.save = save, .plan = [](model::StateReader&) { return [] {}; }};
}

struct Saved {
  std::string name;
  torch::Tensor tensor;
};

/// One of each kind of tensor that a set can hold, other for each rank and seed.
std::vector<Saved> all_kinds(int seed) {
  const torch::Tensor numbers = torch::arange(6, torch::kFloat64).reshape({2, 3}) + seed;
  std::vector<Saved> result;
  for (const at::ScalarType type :
       {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kFloat8_e4m3fn,
        torch::kFloat8_e5m2, torch::kComplexFloat, torch::kInt64, torch::kInt32, torch::kInt16,
        torch::kInt8, torch::kUInt64, torch::kUInt32, torch::kUInt16, torch::kUInt8,
        torch::kBool}) {
    result.push_back({fmt::format("type_{}", c10::toString(type)), numbers.to(type)});
  }
  const torch::Tensor complex = torch::complex(numbers, -numbers).to(torch::kComplexFloat);
  result.push_back({"complex", complex.clone()});
  result.push_back({"conjugate", complex.clone().conj()});
  result.push_back({"negative", torch::_neg_view(numbers.clone())});
  result.push_back({"scalar", torch::tensor(0.5 + seed)});
  result.push_back({"empty", torch::empty({0, 3})});
  result.push_back({"transposed", numbers.clone().t()});
  result.push_back({"strided", numbers.clone().narrow(1, 1, 2)});
  result.push_back({"expanded", (torch::ones({2, 1}) * seed).expand({2, 5})});
  result.push_back({"expanded_number", torch::tensor(1.0 * seed).expand({3})});
  return result;
}

/// Types that know few operations, as one that knows all.
torch::Tensor widened(const torch::Tensor& tensor) {
  return tensor.to(tensor.is_complex() ? torch::kComplexDouble : torch::kFloat64);
}

std::vector<std::string> odd_names() {
  return {"a/b",         "two\nlines", "\"quoted\"", " ",
          "caf\xc3\xa9", "caf\xe9",    "%bytes:x",   "__metadata__"};
}

void register_all(torch::nn::Module& module, int seed) {
  for (const Saved& entry : all_kinds(seed)) module.register_buffer(entry.name, entry.tensor);
  for (const std::string& name : odd_names()) {
    module.register_buffer(name, torch::full({2}, static_cast<double>(seed)));
  }
  module.register_buffer("undefined", torch::Tensor());
}

TEST_F(CheckpointerTest, EachKindOfTensorComesBack) {
  const SharedFolder folder(world());
  {
    const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
    register_all(*run.model, 1 + rank());
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(), .every_steps = 2});
    EXPECT_FALSE(train(run, checkpoints, 2));
  }
  for (const bool is_mean : {false, true}) {
    const Trainee again(world(), "gossip-sgd", momentum_sgd, 77);
    register_all(*again.model, 50);
    Checkpointer checkpoints(
        world(), *again.model, *again.optimizer,
        {.folder = folder.path(), .resumes_from_mean = is_mean && size() == 1});
    ASSERT_TRUE(checkpoints.resume());
    const auto buffers = again.model->named_buffers();
    for (const Saved& entry : all_kinds(1 + rank())) {
      EXPECT_TRUE(torch::equal(widened(buffers[entry.name]), widened(entry.tensor))) << entry.name;
    }
    for (const std::string& name : odd_names()) {
      EXPECT_EQ(buffers[name][1].item<double>(), 1 + rank()) << name;
    }
    EXPECT_FALSE(checkpoints.finish());
    world().barrier();
  }
}

TEST_F(CheckpointerTest, EachKindOfValueComesBack) {
  const SharedFolder folder(world());
  std::vector<std::string> texts{"",
                                 "plain",
                                 "two\nlines",
                                 "caf\xc3\xa9",
                                 "/data/caf\xe9",
                                 "%bytes:a",
                                 "\xff",
                                 std::string("nul\0!", 5)};
  const std::vector<std::string> before = texts;
  std::vector<double> numbers{-0.0, std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::denorm_min()};
  const auto add_all = [&](Checkpointer& checkpoints) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      checkpoints.add(fmt::format("caf\xe9 {}", i), texts[i]);
    }
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      checkpoints.add(fmt::format("number {}", i), numbers[i]);
    }
  };
  {
    const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path() / "caf\xe9", .every_steps = 2});
    add_all(checkpoints);
    EXPECT_FALSE(train(run, checkpoints, 2));
  }
  for (std::string& text : texts) text = "changed";
  const std::vector<double> numbers_before = std::exchange(numbers, {1.0, 1.0, 1.0});
  const Trainee again(world(), "gossip-sgd", momentum_sgd, 77);
  Checkpointer checkpoints(world(), *again.model, *again.optimizer,
                           {.folder = folder.path() / "caf\xe9"});
  add_all(checkpoints);
  ASSERT_TRUE(checkpoints.resume());
  EXPECT_EQ(texts, before);
  EXPECT_EQ(numbers, numbers_before);
  EXPECT_FALSE(checkpoints.finish());
}

/// Whatever a set cannot hold.
class CheckpointerRefusalTest : public CheckpointerTest {
 protected:
  /// On one rank only.
  void expect_refused(const std::function<void(const Trainee&, Checkpointer&)>& disturb,
                      const std::vector<std::string>& parts) const {
    const SharedFolder folder(world());
    const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer, {.folder = folder.path()});
    if (rank() == last()) disturb(run, checkpoints);
    test::expect_throw<JointError>([&] { checkpoints.start(); }, parts);
    test::expect_throw<JointError>([&] { static_cast<void>(checkpoints.resume()); }, parts);
    test::expect_throw<JointError>([&] { static_cast<void>(checkpoints.after_step()); }, parts);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }

  void expect_buffer_refused(const torch::Tensor& buffer, const std::string& why) const {
    expect_refused(
        [&](const Trainee& run, Checkpointer&) { run.model->register_buffer("odd", buffer); },
        {"'module.odd'", "checkpoint cannot hold", why});
  }

  void expect_part_refused(const std::function<model::StateDict()>& save,
                           const std::vector<std::string>& parts) const {
    expect_refused(
        [&](const Trainee&, Checkpointer& checkpoints) { checkpoints.add("part", part_of(save)); },
        parts);
  }
};

/// Has a state from its first step on, and saves nothing.
class Counting final : public torch::optim::Optimizer {
 public:
  explicit Counting(const std::vector<torch::Tensor>& parameters)
      : Optimizer({torch::optim::OptimizerParamGroup(parameters)},
                  std::make_unique<torch::optim::SGDOptions>(0.1)) {}
  torch::Tensor step(LossClosure /*closure*/ = nullptr) override {
    for (const torch::Tensor& parameter : param_groups()[0].params()) {
      state()[parameter.unsafeGetTensorImpl()] = std::make_unique<torch::optim::SGDParamState>();
    }
    return {};
  }
};

/// start() cannot know.
TEST_F(CheckpointerRefusalTest, AStateThatAStepMakesIsWarnedOfBeforeASetIsDue) {
  const SharedFolder folder(world());
  const Trainee run(
      world(), "gossip-sgd",
      [](torch::nn::Module& model) -> std::unique_ptr<torch::optim::Optimizer> {
        return std::make_unique<Counting>(model.parameters());
      },
      2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 3});
  checkpoints.start();
  testing::internal::CaptureStderr();
  EXPECT_FALSE(train(run, checkpoints, 2));
  const std::string said = testing::internal::GetCapturedStderr();
  const std::string warning = "the next checkpoint would fail: The local optimizer";
  EXPECT_NE(said.find(warning), std::string::npos) << said;
  EXPECT_EQ(said.find(warning), said.rfind(warning)) << said;
  test::expect_throw<JointError>([&] { static_cast<void>(train(run, checkpoints, 100000)); },
                                 {"step-3", "has a state, but its save() writes nothing"});
}

TEST_F(CheckpointerRefusalTest, StartRefusesTensorsThatNoSetHolds) {
  const torch::Tensor ones = torch::ones({2, 3});
  expect_buffer_refused(ones.to(torch::kComplexDouble), "ComplexDouble");
  expect_buffer_refused(ones.to(torch::kComplexHalf), "ComplexHalf");
  expect_buffer_refused(ones.to(torch::kFloat8_e4m3fnuz), "Float8_e4m3fnuz");
  expect_buffer_refused(ones.to(torch::kFloat8_e5m2fnuz), "Float8_e5m2fnuz");
  expect_buffer_refused(torch::quantize_per_tensor(ones, 0.1, 0, torch::kQInt8), "QInt8");
  expect_buffer_refused(ones.to_sparse(), "sparse");
  expect_buffer_refused(ones.to_sparse_csr(), "sparse");
  expect_buffer_refused(torch::ones({2}, torch::kMeta), "'meta'");
}

TEST_F(CheckpointerRefusalTest, StartRefusesWhatAProgramAddsAndNoSetHolds) {
  const auto tensors = [](const std::vector<torch::Tensor>& given) {
    return [given] {
      model::StateDict state;
      for (const torch::Tensor& tensor : given) state.add("x", tensor);
      return state;
    };
  };
  expect_part_refused(tensors({torch::Tensor()}), {"'program.part.x'", "undefined"});
  expect_part_refused(tensors({torch::ones({1}).to_sparse()}), {"'program.part.x'", "sparse"});
  expect_part_refused(tensors({torch::ones({1}), torch::ones({2})}),
                      {"Two tensors", "'program.part.x'"});
  expect_part_refused(
      [] {
        model::StateDict state;
        state.add("x", Value(1.0));
        state.add("x", Value(true));
        return state;
      },
      {"Two values", "'program.part.x'"});
  expect_part_refused([]() -> model::StateDict { throw std::runtime_error("nothing yet"); },
                      {"nothing yet"});
}

/// A table whose gradient is sparse: so is the momentum of SGD.
struct Table : torch::nn::Module {
  Table() {
    words = register_module("words",
                            torch::nn::Embedding(torch::nn::EmbeddingOptions(7, 4).sparse(true)));
    last = register_module("last", torch::nn::Linear(4, 3));
  }
  void backward(Rank rank, std::int64_t step) {
    const torch::Tensor read = torch::tensor({step % 7, (step * 3 + rank) % 7, step % 7});
    last(torch::tanh(words(read))).square().mean().backward();
  }
  torch::nn::Embedding words{nullptr};
  torch::nn::Linear last{nullptr};
};

/// A table, and what trains it.
struct TableTrainee {
  TableTrainee(transport::Group& ranks, std::uint64_t seed, bool is_nesterov)
      : group(ranks), model(test::make<Table>(seed)) {
    const auto options = torch::optim::SGDOptions(0.05).momentum(0.9).nesterov(is_nesterov);
    optimizer =
        optim::make_optimizer("gossip-sgd", group, *model,
                              std::make_unique<torch::optim::SGD>(model->parameters(), options),
                              topology::ring(group.size()), test::method_options());
  }

  void train(std::int64_t steps) const {
    while (optimizer->steps() < steps) {
      optimizer->zero_grad();
      model->backward(group.rank(), optimizer->steps());
      optimizer->step();
    }
  }

  [[nodiscard]] std::string bytes() const { return test::bytes_of(model->parameters()); }

  transport::Group& group;
  std::shared_ptr<Table> model;
  std::unique_ptr<optim::Decentralized> optimizer;
};

TEST_F(CheckpointerTest, SparseMomentumGoesOnToTheBit) {
  for (const bool is_nesterov : {false, true}) {
    const SharedFolder folder(world());
    const TableTrainee whole(world(), 2, is_nesterov);
    {
      Checkpointer checkpoints(world(), *whole.model, *whole.optimizer,
                               {.folder = folder.path(), .every_steps = 5});
      checkpoints.start();
      whole.train(5);
      EXPECT_FALSE(checkpoints.after_step());
      EXPECT_FALSE(checkpoints.finish());
    }
    whole.train(12);
    const TableTrainee again(world(), 77, is_nesterov);
    Checkpointer checkpoints(world(), *again.model, *again.optimizer, {.folder = folder.path()});
    ASSERT_TRUE(checkpoints.resume());
    EXPECT_EQ(again.optimizer->steps(), 5);
    again.train(12);
    EXPECT_EQ(again.bytes(), whole.bytes());
    EXPECT_FALSE(checkpoints.finish());
  }
}

}  // namespace
}  // namespace gossip::checkpoint
