// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <functional>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "model/model_test_support.h"

namespace gossip::model {
namespace {

using testing::HasSubstr;

TEST(FlatModel, KeepsTheValuesAndMakesParametersViews) {
  Net net;
  const auto before = copies_of(net.parameters());

  const FlatModel flat(net);

  expect_equal(net.parameters(), before);
  expect_aliases(flat);
  EXPECT_EQ(flat.parameters().size(), 1U);
  EXPECT_EQ(flat.num_elements(), 3 * 5 + 5 + 5 + 5 + 5 * 2 + 2);
  EXPECT_EQ(flat.entries().size(), 6U);
  EXPECT_EQ(flat.entries()[0].name, "first.weight");
}

TEST(FlatModel, WritingTheBufferWritesTheModel) {
  Net net;
  const FlatModel flat(net);
  for (float& value : flat.parameters()[0].as<float>()) value = 0.5F;
  for (const torch::Tensor& parameter : net.parameters())
    EXPECT_TRUE(torch::all(parameter == 0.5F).item<bool>());
}

TEST(FlatModel, TrainingGivesTheSameBitsAsWithoutIt) {
  torch::manual_seed(3);
  Net plain;
  torch::manual_seed(3);
  Net flattened;
  FlatModel flat(flattened);
  torch::optim::SGD plain_sgd(plain.parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  torch::optim::SGD flat_sgd(flattened.parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  const torch::Tensor x = torch::rand({16, 3});

  for (int step = 0; step < 5; ++step) {
    for (auto* pair : {&plain, &flattened}) {
      auto& sgd = pair == &plain ? plain_sgd : flat_sgd;
      sgd.zero_grad();
      pair->forward(x).square().mean().backward();
      sgd.step();
    }
    flat.restore_aliases();
  }

  expect_equal(flattened.parameters(), plain.parameters());
  expect_equal(flattened.buffers(), plain.buffers());
  expect_aliases(flat);
}

TEST(FlatModel, SeparatesElementTypes) {
  Any module;
  module.register_parameter("a", torch::rand({3}));
  module.register_parameter("b", torch::rand({2, 2}, torch::kDouble));
  module.register_parameter("c", torch::rand({5}));
  const auto before = copies_of(module.parameters());

  const FlatModel flat(module);

  ASSERT_EQ(flat.parameters().size(), 2U);
  EXPECT_EQ(flat.parameters()[0].dtype, Dtype::kFloat32);
  EXPECT_EQ(flat.parameters()[1].dtype, Dtype::kFloat64);
  expect_equal(module.parameters(), before);
  expect_aliases(flat);

  Any doubles;
  doubles.register_parameter("b", torch::rand({2, 2}, torch::kDouble));
  const FlatModel flat_doubles(doubles);
  ASSERT_EQ(flat_doubles.parameters().size(), 1U);
  EXPECT_EQ(flat_doubles.parameters()[0].dtype, Dtype::kFloat64);
}

TEST(FlatModel, HoldsASharedParameterOnce) {
  Any module;
  torch::nn::Linear shared(3, 3);
  module.register_module("encoder", shared);
  module.register_module("decoder", shared);
  module.register_parameter("tied", shared->weight);

  FlatModel flat(module);

  EXPECT_EQ(flat.entries().size(), 2U);
  EXPECT_EQ(flat.num_elements(), 9 + 3);
  expect_aliases(flat);
  shared(torch::ones({1, 3})).sum().backward();
  flat.gather_gradient(0);
  EXPECT_TRUE(torch::equal(flat.entries()[0].tensor.grad(), torch::ones({3, 3})) ||
              torch::equal(flat.entries()[1].tensor.grad(), torch::ones({3, 3})));
}

TEST(FlatModel, LeavesFrozenParametersAndBuffersWhereTheyAre) {
  Net net;
  net.first->weight.requires_grad_(false);
  const void* frozen = net.first->weight.data_ptr();
  const void* running_mean = net.norm->running_mean.data_ptr();

  FlatModel flat(net);

  EXPECT_EQ(flat.entries().size(), 5U);
  EXPECT_EQ(net.first->weight.data_ptr(), frozen);
  EXPECT_EQ(net.norm->running_mean.data_ptr(), running_mean);
  EXPECT_EQ(flat.others().size(), 3U + 1U) << "three buffers of batch norm, one frozen parameter";
  EXPECT_EQ(flat.float_buffers().size(), 2U) << "num_batches_tracked is an integer";

  net.first->weight.requires_grad_(true);
  expect_error([&] { flat.restore_aliases(); }, {"'first.weight'", "was frozen", "new optimizer"});
}

TEST(FlatModel, TakesEmptyAndScalarParameters) {
  Any module;
  module.register_parameter("nothing", torch::rand({0, 4}));
  module.register_parameter("scalar", torch::tensor(2.5F));
  module.register_parameter("no_doubles", torch::rand({0}, torch::kDouble));
  module.register_parameter("vector", torch::rand({3}));
  const auto before = copies_of(module.parameters());

  FlatModel flat(module);
  flat.restore_aliases();

  expect_equal(module.parameters(), before);
  expect_aliases(flat);
  EXPECT_EQ(flat.num_elements(), 4);
  EXPECT_EQ(module.parameters()[1].dim(), 0);
  (module.parameters()[1] * module.parameters()[3].sum() + module.parameters()[0].sum() +
   module.parameters()[2].sum())
      .backward();
  for (std::size_t entry = 0; entry < 4; ++entry) {
    flat.gather_gradient(entry);
    flat.scatter_gradient(entry);
  }
  EXPECT_TRUE(torch::equal(module.parameters()[3].grad(), torch::full({3}, 2.5F)));
}

TEST(FlatModel, RefusesWhatItCannotMix) {
  Any empty;
  expect_error([&] { const FlatModel flat(empty); }, {"'any'", "no parameters that require"});

  Net frozen;
  for (torch::Tensor& parameter : frozen.parameters()) parameter.requires_grad_(false);
  expect_error([&] { const FlatModel flat(frozen); }, {"no parameters that require gradients"});

  Any half;
  half.register_parameter("fine", torch::rand({2}));
  half.register_parameter("narrow", torch::rand({2}).to(torch::kHalf));
  expect_error([&] { const FlatModel flat(half); }, {"'narrow'", "Half", "only float and double"});
  EXPECT_EQ(half.parameters().size(), 2U);
}

TEST(FlatModel, RefusesTensorsThatCannotBeSent) {
  const torch::Tensor nowhere = torch::empty({2}, torch::kMeta);
  for (const bool trains : {true, false}) {
    Any module;
    module.register_parameter("fine", torch::rand({2}));
    module.register_parameter("far", nowhere, trains);
    expect_error([&] { const FlatModel flat(module); }, {"parameter 'far'", "meta", "CPU only"});
  }
  Any module;
  module.register_parameter("fine", torch::rand({2}));
  const FlatModel flat(module);
  flat.check_complete();
  module.register_buffer("later", torch::rand({2, 2}).to_sparse());
  expect_error([&] { flat.check_complete(); }, {"buffer 'later'", "not a dense tensor"});
}

TEST(FlatModel, FlattensAgainAfterLoading) {
  Net saved;
  std::stringstream file;
  {
    torch::serialize::OutputArchive archive;
    saved.save(archive);
    archive.save_to(file);
  }
  Net net;
  FlatModel flat(net);

  torch::serialize::InputArchive archive;
  archive.load_from(file);
  net.load(archive);
  EXPECT_NE(net.first->weight.data_ptr(), flat.parameters()[0].data) << "loading broke no alias";
  flat.restore_aliases();

  expect_equal(net.parameters(), saved.parameters());
  expect_aliases(flat);
}

TEST(FlatModel, FlattensAgainAfterMovingThere) {
  Net net;
  FlatModel flat(net);
  const auto before = copies_of(net.parameters());

  net.to(torch::kFloat32);
  net.to(torch::kCPU);
  expect_aliases(flat);
  net.to(torch::kFloat64);
  net.to(torch::kFloat32);
  EXPECT_NE(net.first->weight.data_ptr(), flat.parameters()[0].data);
  flat.restore_aliases();

  expect_aliases(flat);
  expect_equal(net.parameters(), before);
}

TEST(FlatModel, RefusesAnotherTypeOrSizeLater) {
  Net net;
  FlatModel flat(net);
  net.to(torch::kFloat64);
  expect_error([&] { flat.restore_aliases(); },
               {"'first.weight'", "was Float [5, 3]", "is Double [5, 3]"});

  Net other;
  FlatModel of_other(other);
  other.last->bias.set_data(torch::zeros({7}));
  expect_error([&] { of_other.restore_aliases(); },
               {"'last.bias'", "was Float [2]", "is Float [7]"});
}

TEST(FlatModel, CopiesTransposedParameters) {
  Any module;
  const torch::Tensor columns = torch::rand({3, 4}).t();
  module.register_parameter("columns", columns.clone(torch::MemoryFormat::Preserve));
  ASSERT_FALSE(module.parameters()[0].is_contiguous());

  const FlatModel flat(module);

  EXPECT_TRUE(torch::equal(module.parameters()[0], columns));
  expect_aliases(flat);
}

TEST(FlatModel, GathersAndScattersGradients) {
  Net net;
  FlatModel flat(net);
  net.first->forward(torch::ones({1, 3})).sum().backward();

  for (std::size_t entry = 0; entry < flat.entries().size(); ++entry) flat.gather_gradient(entry);
  for (float& value : flat.gradient_slice(0).as<float>()) EXPECT_EQ(value, 1.0F);
  for (float& value : flat.gradient_slice(2).as<float>()) EXPECT_EQ(value, 0.0F) << "undefined";

  for (float& value : flat.gradient_slice(0).as<float>()) value = 3.0F;
  for (float& value : flat.gradient_slice(2).as<float>()) value = 4.0F;
  flat.scatter_gradient(0);
  flat.scatter_gradient(2);
  EXPECT_TRUE(torch::equal(net.first->weight.grad(), torch::full({5, 3}, 3.0F)));
  EXPECT_TRUE(torch::equal(net.norm->weight.grad(), torch::full({5}, 4.0F)));
  EXPECT_FALSE(net.last->weight.grad().defined());
}

TEST(FlatModel, GathersSparseGradientsAsDenseOnes) {
  Any module;
  torch::nn::Embedding table(torch::nn::EmbeddingOptions(4, 2).sparse(true));
  module.register_module("table", table);
  FlatModel flat(module);
  table(torch::tensor({1, 1, 3})).sum().backward();
  ASSERT_TRUE(table->weight.grad().is_sparse());

  flat.gather_gradient(0);
  flat.scatter_gradient(0);

  EXPECT_TRUE(torch::equal(table->weight.grad(),
                           torch::tensor({{0.F, 0.F}, {2.F, 2.F}, {0.F, 0.F}, {1.F, 1.F}})));
}

/// The gradient put together from its pieces.
std::vector<float> found_gradient(FlatModel& flat) {
  std::vector<float> whole(flat.parameters()[0].size, -1.0F);
  for (const VectorPiece& piece : flat.find_gradient()) {
    EXPECT_EQ(piece.vector, 0U);
    const std::span<float> values = piece.values.as<float>();
    std::ranges::copy(values, whole.begin() + static_cast<std::ptrdiff_t>(piece.offset));
  }
  return whole;
}

TEST(FlatModel, FindsGradientsWhereTheyLie) {
  Net net;
  FlatModel flat(net);
  net.first->forward(torch::ones({1, 3})).sum().backward();
  for (std::size_t entry = 0; entry < flat.entries().size(); ++entry) flat.gather_gradient(entry);
  const std::span<float> gathered = flat.gradients()[0].as<float>();

  EXPECT_EQ(found_gradient(flat), std::vector<float>(gathered.begin(), gathered.end()));
  EXPECT_EQ(flat.find_gradient().front().values.data, net.first->weight.grad().data_ptr());

  net.first->weight.mutable_grad() = net.first->weight.grad().t().contiguous().t();
  EXPECT_EQ(found_gradient(flat), std::vector<float>(gathered.begin(), gathered.end()));
}

TEST(FlatModel, FindsGradientsOfOtherTypesAndShapesAsTheParametersAre) {
  Any module;
  const torch::Tensor weight = module.register_parameter("weight", torch::rand({4, 4}));
  FlatModel flat(module);
  const torch::Tensor gradient = torch::arange(16.0).reshape({4, 4});
  std::vector<float> expected(16);
  std::iota(expected.begin(), expected.end(), 0.0F);
  for (const auto type : {torch::kDouble, torch::kHalf, torch::kBFloat16}) {
    weight.mutable_grad() = gradient.to(type);
    EXPECT_EQ(found_gradient(flat), expected) << type;
  }
  weight.mutable_grad() = torch::tensor(3.0F);
  EXPECT_EQ(found_gradient(flat), std::vector<float>(16, 3.0F));

  Any wide;
  const torch::Tensor scalar = wide.register_parameter("x", torch::zeros({8}, torch::kDouble));
  FlatModel flat_wide(wide);
  scalar.mutable_grad() = torch::full({8}, 2.0F);
  for (const double value : flat_wide.find_gradient().front().values.as<double>()) {
    EXPECT_EQ(value, 2.0);
  }
}

TEST(FlatModel, FindsSparseGradientsAsDenseOnes) {
  Any module;
  torch::nn::Embedding table(torch::nn::EmbeddingOptions(8, 2).sparse(true));
  module.register_module("table", table);
  FlatModel flat(module);
  table(torch::tensor({1, 1, 3})).sum().backward();
  ASSERT_TRUE(table->weight.grad().is_sparse());

  EXPECT_EQ(found_gradient(flat),
            (std::vector<float>{0, 0, 2, 2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(FlatModel, LendsOtherGradientsForAWhile) {
  Net net;
  FlatModel flat(net);
  net.first->forward(torch::ones({1, 3})).sum().backward();
  const void* own = net.first->weight.grad().data_ptr();
  std::vector<float> memory(flat.parameters()[0].size, 7.0F);
  {
    const LentGradient lent(flat, {std::span<float>(memory)});
    for (const torch::Tensor& parameter : net.parameters()) {
      EXPECT_TRUE(torch::equal(parameter.grad(), torch::full_like(parameter, 7.0F)));
    }
    EXPECT_EQ(net.first->weight.grad().data_ptr(), memory.data());
  }
  EXPECT_EQ(net.first->weight.grad().data_ptr(), own);
  EXPECT_FALSE(net.last->weight.grad().defined());
  net.first->weight.requires_grad_(false);
  {
    const LentGradient lent(flat, {std::span<float>(memory)});
    EXPECT_FALSE(net.first->weight.grad().defined()) << "frozen";
    EXPECT_TRUE(net.first->bias.grad().defined());
  }
  EXPECT_EQ(net.first->weight.grad().data_ptr(), own);
  net.zero_grad();
}

TEST(FlatModel, DescribesAllThatRanksMustShare) {
  const auto description_with = [](const std::function<void(Any&)>& change) {
    Any module;
    module.register_parameter("a", torch::zeros({2, 3}));
    module.register_buffer("state", torch::zeros({4}));
    change(module);
    return FlatModel(module).description();
  };
  const std::string plain = description_with([](Any&) {});
  const auto add = [](const char* name, const torch::Tensor& tensor, bool trains) {
    return [=](Any& module) { module.register_parameter(name, tensor, trains); };
  };

  EXPECT_THAT(plain, HasSubstr("1 parameters with 6 elements"));
  EXPECT_EQ(description_with([](Any& module) { module.parameters()[0].data().fill_(1.0F); }), plain)
      << "values may differ";
  EXPECT_NE(description_with(add("b", torch::zeros({1}), true)), plain);
  EXPECT_NE(description_with(add("b", torch::zeros({1}), false)),
            description_with(add("b", torch::zeros({2}), false)));
  EXPECT_NE(description_with(add("b", torch::zeros({1}), true)),
            description_with(add("c", torch::zeros({1}), true)));
  EXPECT_NE(description_with(add("b", torch::zeros({2, 3}), true)),
            description_with(add("b", torch::zeros({3, 2}), true)));
  EXPECT_NE(description_with(add("b", torch::zeros({1}), true)),
            description_with(add("b", torch::zeros({1}, torch::kDouble), true)));
  EXPECT_NE(
      description_with([](Any& module) { module.register_buffer("more", torch::ones({1})); }),
      description_with([](Any& module) { module.register_buffer("more", torch::ones({2})); }));
}

TEST(FlatModel, TheModuleOutlivesIt) {
  Net net;
  const auto before = copies_of(net.parameters());
  { const FlatModel flat(net); }
  expect_equal(net.parameters(), before);
  const FlatModel again(net);
  expect_equal(net.parameters(), before);
  expect_aliases(again);
}

}  // namespace
}  // namespace gossip::model
