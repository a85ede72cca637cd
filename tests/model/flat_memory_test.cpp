// SPDX-License-Identifier: Apache-2.0
// Tensors of a module that share memory, and memory that others refer to.
#include <algorithm>
#include <utility>

#include "model/model_test_support.h"

namespace gossip::model {
namespace {

/// A layer whose weight is tied to another's by its memory.
struct Tied : torch::nn::Module {
  Tied() {
    encoder = register_module("encoder", torch::nn::Embedding(11, 6));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({6})));
    decoder =
        register_module("decoder", torch::nn::Linear(torch::nn::LinearOptions(6, 11).bias(false)));
    decoder->weight.set_data(encoder->weight.data());
  }
  torch::Tensor loss() {
    const torch::Tensor words = torch::arange(11);
    return torch::cross_entropy_loss(decoder(norm(encoder(words))), words.flip(0));
  }
  torch::nn::Embedding encoder{nullptr};
  torch::nn::LayerNorm norm{nullptr};
  torch::nn::Linear decoder{nullptr};
};

using MakeLocal =
    std::function<std::unique_ptr<torch::optim::Optimizer>(const std::vector<torch::Tensor>&)>;

TEST(FlatMemory, TiedParametersTrainAsInLibTorch) {
  const std::vector<MakeLocal> local_optimizers{
      [](const auto& parameters) {
        return std::make_unique<torch::optim::SGD>(
            parameters, torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(0.01));
      },
      [](const auto& parameters) {
        return std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(0.01));
      }};
  for (const MakeLocal& make : local_optimizers) {
    torch::manual_seed(5);
    Tied plain;
    torch::manual_seed(5);
    Tied flattened;
    FlatModel flat(flattened);
    EXPECT_EQ(flat.entries().size(), 4U);
    EXPECT_EQ(flat.num_elements(), 11 * 6 + 6 + 6);
    const auto plain_local = make(plain.parameters());
    const auto flat_local = make(flattened.parameters());
    for (int step = 0; step < 5; ++step) {
      for (const auto& [module, local] :
           {std::pair{&plain, plain_local.get()}, std::pair{&flattened, flat_local.get()}}) {
        local->zero_grad();
        module->loss().backward();
        local->step();
      }
      flat.restore_aliases();
    }
    expect_equal(flattened.parameters(), plain.parameters());
    EXPECT_TRUE(torch::equal(flattened.encoder->weight, flattened.decoder->weight));
    expect_aliases(flat);
  }
}

TEST(FlatMemory, TiedParametersHaveGradientsOfTheirOwnAndASum) {
  Tied module;
  FlatModel flat(module);
  module.loss().backward();
  const torch::Tensor first = module.encoder->weight.grad();
  const torch::Tensor second = module.decoder->weight.grad();
  const auto equals = [](const VectorView& vector, const torch::Tensor& tensor) {
    return torch::equal(tensor_of(vector), tensor.flatten());
  };
  std::size_t encoder = 0;
  std::size_t decoder = 0;
  for (std::size_t i = 0; i < flat.entries().size(); ++i) {
    if (flat.entries()[i].name == "encoder.weight") encoder = i;
    if (flat.entries()[i].name == "decoder.weight") decoder = i;
    flat.gather_gradient(i);
  }
  EXPECT_TRUE(equals(flat.gradient_slice(encoder), first));
  EXPECT_TRUE(equals(flat.gradient_slice(decoder), second));
  EXPECT_GT(flat.separate_gradients()[0].size, flat.gradients()[0].size);
  EXPECT_EQ(flat.parameters()[0].size, flat.gradients()[0].size);

  flat.gather_gradients();
  EXPECT_TRUE(equals(flat.gradient_slice(encoder), first + second));
  std::size_t covered = 0;
  for (const VectorPiece& piece : flat.find_gradient()) {
    covered += piece.values.size;
    if (piece.offset != flat.entries()[encoder].offset) continue;
    EXPECT_TRUE(equals(piece.values, first + second));
  }
  EXPECT_EQ(covered, flat.parameters()[0].size);

  const LentGradient lent(flat, flat.gradients());
  EXPECT_TRUE(torch::equal(module.encoder->weight.grad(), first + second));
  EXPECT_FALSE(module.decoder->weight.grad().defined());
}

TEST(FlatMemory, FrozenParametersAndBuffersStayTied) {
  Any module;
  const torch::Tensor weight = module.register_parameter("weight", torch::rand({2, 3}));
  const torch::Tensor frozen = module.register_parameter("frozen", weight.detach(), false);
  const torch::Tensor buffer = module.register_buffer("buffer", weight.detach());
  const torch::Tensor alone = module.register_buffer("alone", torch::rand({3}));

  FlatModel flat(module);
  flat.parameters()[0].as<float>()[0] = 5.0F;

  EXPECT_EQ(flat.entries().size(), 1U);
  for (const torch::Tensor& tensor : {weight, frozen, buffer}) {
    EXPECT_EQ(tensor.data_ptr(), flat.parameters()[0].data);
    EXPECT_EQ(tensor[0][0].item<float>(), 5.0F);
  }
  ASSERT_EQ(flat.others().size(), 1U) << "what is in the buffer is not beside it";
  EXPECT_TRUE(flat.others()[0].is_same(alone));
  EXPECT_EQ(flat.float_buffers().size(), 1U);

  module.to(torch::kFloat64);
  module.to(torch::kFloat32);
  flat.restore_aliases();
  EXPECT_EQ(buffer.data_ptr(), flat.parameters()[0].data);
  frozen.requires_grad_(true);
  expect_error([&] { flat.restore_aliases(); }, {"'frozen'", "was frozen"});
}

TEST(FlatMemory, OverlapsAreRefusedWithBothNames) {
  const torch::Tensor whole = torch::rand({4, 4});
  using Register = std::function<void(Any&)>;
  const auto parameter = [](const char* name, const torch::Tensor& tensor, bool trains = true) {
    return [=](Any& module) { module.register_parameter(name, tensor.detach(), trains); };
  };
  const auto refused = [](const Register& first, const Register& second) {
    Any module;
    first(module);
    second(module);
    expect_error([&] { const FlatModel flat(module); }, {"'a'", "'b'", "memory in common"});
  };
  refused(parameter("a", whole), parameter("b", whole.t()));
  refused(parameter("a", whole), parameter("b", whole[2]));
  refused(parameter("b", whole.narrow(0, 0, 3)), parameter("a", whole.narrow(0, 2, 2)));
  refused(parameter("a", whole.flatten()), parameter("b", whole));
  refused(parameter("a", whole.narrow(1, 0, 2)), parameter("b", whole.narrow(1, 1, 2)));
  refused(parameter("a", whole, false), parameter("b", whole[1]));
  refused(parameter("a", whole), parameter("b", whole[0], false));
  refused([&](Any& module) { module.register_buffer("a", whole[3]); }, parameter("b", whole));
}

TEST(FlatMemory, ViewsOfOneTensorThatDoNotOverlapAreTaken) {
  const torch::Tensor whole = torch::rand({4, 4});
  Any module;
  module.register_parameter("upper_left", whole.narrow(0, 0, 2).narrow(1, 0, 2).detach());
  module.register_parameter("upper_right", whole.narrow(0, 0, 2).narrow(1, 2, 2).detach());
  module.register_parameter("lower", whole.narrow(0, 2, 2).detach());
  const auto before = copies_of(module.parameters());
  const FlatModel flat(module);
  expect_equal(module.parameters(), before);
  expect_aliases(flat);
}

TEST(FlatMemory, OverlapsOfWhatStaysWhereItIsAreTaken) {
  const torch::Tensor whole = torch::rand({4});
  Any module;
  module.register_parameter("weight", torch::rand({2}));
  module.register_buffer("whole", whole);
  module.register_buffer("part", whole.narrow(0, 1, 2));
  module.register_parameter("frozen", whole.narrow(0, 2, 2), false);
  const FlatModel flat(module);
  EXPECT_EQ(flat.others().size(), 3U);
}

TEST(FlatMemory, ParametersThatRepeatElementsAreRefused) {
  Any module;
  module.register_parameter("repeated", torch::rand({1, 3}).expand({4, 3}));
  expect_error([&] { const FlatModel flat(module); }, {"'repeated'", "expand", "contiguous()"});
  for (const torch::Tensor& windows :
       {torch::arange(4.0).unfold(0, 2, 1), torch::rand({2, 5}).unfold(1, 3, 2),
        torch::rand({6}).as_strided({2, 2}, {1, 1})}) {
    Any unfolded;
    unfolded.register_parameter("windows", windows);
    expect_error([&] { const FlatModel flat(unfolded); }, {"'windows'", "unfold", "contiguous()"});
  }
}

TEST(FlatMemory, ViewsWithGapsThatRepeatNothingAreTaken) {
  for (const torch::Tensor& view :
       {torch::arange(6.0).unfold(0, 2, 2), torch::arange(7.0).unfold(0, 2, 3),
        torch::rand({3, 4}).t().narrow(0, 1, 2), torch::rand({5}).expand({1, 5}),
        torch::rand({8}).as_strided({2, 2}, {3, 2})}) {
    Any module;
    module.register_parameter("view", view);
    const torch::Tensor before = view.detach().clone();
    const FlatModel flat(module);
    EXPECT_TRUE(torch::equal(module.parameters()[0], before));
  }
}

TEST(FlatMemory, OtherTensorsStandOnce) {
  Any module;
  const torch::nn::BatchNorm1d norm(3);
  module.register_module("norm", norm);
  module.register_module("again", norm);
  const torch::Tensor frozen = torch::rand({2});
  module.register_parameter("frozen", frozen, false);
  module.register_parameter("frozen_again", frozen, false);
  module.register_parameter("frozen_alias", frozen.detach(), false);
  module.register_buffer("mean_alias", norm->running_mean.detach());
  const FlatModel flat(module);
  EXPECT_EQ(flat.others().size(), 3U + 1U);
  EXPECT_EQ(flat.float_buffers().size(), 2U);
}

TEST(FlatMemory, WhatIsCopiedToARepeatedTensorIsCopiedOnce) {
  const torch::Tensor small = torch::zeros({2, 1});
  assign_(small.expand({2, 3}), torch::tensor({{1.F, 1.F, 1.F}, {2.F, 2.F, 2.F}}));
  EXPECT_TRUE(torch::equal(small, torch::tensor({{1.F}, {2.F}})));
}

TEST(FlatMemory, AnotherShapeOrOrderOfTheSameSizeIsRefused) {
  Net net;
  FlatModel flat(net);
  net.first->weight.set_data(torch::ones({3, 5}));
  expect_error([&] { flat.restore_aliases(); },
               {"'first.weight'", "was Float [5, 3]", "is Float [3, 5]"});
  net.first->weight.set_data(torch::ones({5, 3}));
  flat.restore_aliases();
  net.first->weight.set_data(net.first->weight.data().view({3, 5}));
  expect_error([&] { flat.restore_aliases(); }, {"'first.weight'", "is Float [3, 5]"});
  net.first->weight.set_data(torch::ones({5, 3}));
  net.norm->bias.set_data(torch::ones({5}, torch::kFloat64));
  expect_error([&] { flat.restore_aliases(); }, {"'norm.bias'", "was Float [5]", "is Double [5]"});
}

TEST(FlatMemory, ThePlaceOfAParameterInAnotherWayIsRefused) {
  Any module;
  torch::Tensor square = module.register_parameter("square", torch::rand({3, 3}));
  torch::Tensor other = module.register_parameter("other", torch::rand({3, 3}));
  FlatModel flat(module);
  const auto before = copies_of(module.parameters());
  const torch::Tensor of_square = square.data();
  const torch::Tensor of_other = other.data();

  square.set_data(of_square.t());
  expect_error([&] { flat.restore_aliases(); }, {"'square'", "memory of 'square'", "copy_()"});
  square.set_data(of_other);
  expect_error([&] { flat.restore_aliases(); }, {"'square'", "memory of 'other'"});
  other.set_data(of_square);  // a swap within the model
  expect_error([&] { flat.restore_aliases(); }, {"'square'", "memory of 'other'"});
  square.set_data(of_square);
  other.set_data(of_other);
  flat.restore_aliases();
  expect_equal(module.parameters(), before);
}

TEST(FlatMemory, ParametersThatBecomeTiedLaterAreRefused) {
  Any module;
  torch::Tensor a = module.register_parameter("a", torch::rand({3}));
  torch::Tensor b = module.register_parameter("b", torch::rand({3}));
  const torch::Tensor buffer = module.register_buffer("c", torch::rand({3}));
  FlatModel flat(module);
  const torch::Tensor common = torch::rand({3});
  a.set_data(common);
  b.set_data(common);
  expect_error([&] { flat.restore_aliases(); }, {"'a'", "'b'", "memory in common"});
  b.set_data(buffer);
  expect_error([&] { flat.restore_aliases(); }, {"'b'", "'c'", "memory in common"});
  a.set_data(torch::ones({3}));
  b.set_data(torch::ones({3}));
  flat.restore_aliases();
  expect_aliases(flat);
}

TEST(FlatMemory, TiedParametersComeBackTogether) {
  Tied module;
  FlatModel flat(module);
  const torch::Tensor other = torch::rand({11, 6});
  module.encoder->weight.set_data(other.clone());
  expect_error([&] { flat.restore_aliases(); }, {"'encoder.weight'", "'decoder.weight'", "tied"});
  module.decoder->weight.set_data(other.clone() + 1.0);
  expect_error([&] { flat.restore_aliases(); },
               {"'encoder.weight'", "'decoder.weight'", "different values"});
  module.decoder->weight.set_data(other.clone());
  flat.restore_aliases();
  expect_aliases(flat);
  EXPECT_TRUE(torch::equal(module.decoder->weight, other));
}

TEST(FlatMemory, WeightsThatAreSwappedOutAndInAgainAreBack) {
  Net net;
  FlatModel flat(net);
  const auto trained = copies_of(net.parameters());
  std::vector<torch::Tensor> kept;
  std::vector<torch::Tensor> averages;
  for (torch::Tensor& parameter : net.parameters()) {
    kept.push_back(parameter.data());
    averages.push_back(torch::rand_like(parameter));
  }
  const auto expected = copies_of(averages);
  const void* buffer = flat.parameters()[0].data;
  for (int round = 0; round < 2; ++round) {
    auto parameters = net.parameters();
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (i == 1) continue;  // one that stays
      parameters[i].set_data(averages[i]);
    }
    flat.restore_aliases();
    expect_aliases(flat);
    EXPECT_TRUE(torch::equal(parameters[0], expected[0]));
    EXPECT_TRUE(torch::equal(parameters[1], trained[1]));
    expect_equal(kept, trained);

    for (std::size_t i = 0; i < kept.size(); ++i) parameters[i].set_data(kept[i]);
    flat.restore_aliases();
    expect_aliases(flat);
    expect_equal(net.parameters(), trained);
    expect_equal(averages, expected);
  }
  EXPECT_EQ(flat.parameters()[0].data, buffer);
}

TEST(FlatMemory, WhatTheProgramKeptOutlivesMemoryElsewhere) {
  std::vector<torch::Tensor> kept;
  Net net;
  const auto before = copies_of(net.parameters());
  std::vector<torch::Tensor> early;
  {
    FlatModel flat(net);
    for (const torch::Tensor& parameter : net.parameters()) early.push_back(parameter.detach());
    std::vector<float> memory(flat.parameters()[0].size);
    flat.move_to({std::span<float>(memory)});
    expect_aliases(flat);
    EXPECT_EQ(flat.parameters()[0].data, memory.data());
    for (const torch::Tensor& parameter : net.parameters()) kept.push_back(parameter.detach());
    net.first->weight.requires_grad_(false);
    net.last->to(torch::kFloat64);  // what the module has become does not matter
    flat.move_to_own_memory();
    std::ranges::fill(memory, 7.0F);
  }
  expect_equal(kept, before);
  expect_equal(early, before);
  EXPECT_TRUE(torch::equal(net.first->weight, before[0]));
  EXPECT_EQ(net.last->weight.dtype(), torch::kFloat64);
}

TEST(FlatMemory, AliasesAreResetToWhatTheBufferHas) {
  Net net;
  FlatModel flat(net);
  const auto before = copies_of(net.parameters());
  net.to(torch::kFloat64);
  net.last->bias.set_data(torch::rand({7}));
  flat.reset_aliases();
  expect_aliases(flat);
  expect_equal(net.parameters(), before);
}

TEST(FlatMemory, ParametersThatAreRegisteredLaterAreNamed) {
  torch::nn::Sequential module(torch::nn::Linear(3, 2));
  const FlatModel flat(*module);
  flat.check_complete();
  module->push_back(torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(2).affine(false)));
  flat.check_complete();
  const torch::nn::Linear added(2, 2);
  EXPECT_FALSE(flat.contains(added->weight));
  module->push_back(added);
  expect_error([&] { flat.check_complete(); }, {"'2.weight'", "registered after", "new optimizer"});
}

TEST(FlatMemory, TheDescriptionTellsWhatIsTied) {
  Tied tied;
  Tied apart;
  apart.decoder->weight.set_data(apart.decoder->weight.data().clone());
  EXPECT_NE(FlatModel(tied).description(), FlatModel(apart).description());
}

}  // namespace
}  // namespace gossip::model
