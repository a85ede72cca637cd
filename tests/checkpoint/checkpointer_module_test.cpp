// SPDX-License-Identifier: Apache-2.0
// Modules whose tensors have several names or share memory, saved and resumed.
#include "checkpoint/checkpointer_test_support.h"

namespace gossip::checkpoint {
namespace {

/// A block under two names, weights tied by their memory, and buffers that share theirs.
struct Shared : torch::nn::Module {
  Shared() {
    block = register_module("block", torch::nn::Linear(4, 4));
    again = register_module("again", block);
    norm = register_module("norm", torch::nn::BatchNorm1d(4));
    norm_again = register_module("norm_again", norm);
    last = register_module("last", torch::nn::Linear(4, 4));
    last->weight.set_data(block->weight.data());
    whole = register_buffer("whole", torch::rand({4}));
    part = register_buffer("part", whole.narrow(0, 1, 2));
    repeated = register_buffer("repeated", torch::rand({1}).expand({3}));
    brief = register_buffer("brief", torch::rand({3}).to(torch::kBFloat16));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return last(norm_again(again(norm(block(x))))) * whole;
  }
  torch::nn::Linear block{nullptr}, again{nullptr}, last{nullptr};
  torch::nn::BatchNorm1d norm{nullptr}, norm_again{nullptr};
  torch::Tensor whole, part, repeated, brief;
};

class CheckpointerModuleTest : public test::CheckpointerTest {
 protected:
  /// Steps from the given one on, and what the module holds then.
  std::string train_shared(Shared& model, optim::Decentralized& optimizer,
                           Checkpointer& checkpoints, int first, int end) const {
    for (int step = first; step < end; ++step) {
      optimizer.zero_grad();
      model.forward(test::batch(rank(), step)).square().mean().backward();
      optimizer.step();
      model.whole.add_(1.0);
      EXPECT_FALSE(checkpoints.after_step());
    }
    return test::bytes_of(model.parameters()) + test::bytes_of(model.buffers());
  }
};

TEST_F(CheckpointerModuleTest, SharedMemoryGoesOnToTheBit) {
  for (const char* method : {"gossip-sgd", "allreduce", "gradient-tracking", "qg-dsgdm"}) {
    SCOPED_TRACE(method);
    const test::SharedFolder folder(world());
    const auto make = [&](Shared& model) {
      return optim::make_optimizer(method, world(), model, test::momentum_sgd(model),
                                   topology::ring(size()), test::method_options());
    };
    const auto model = test::make<Shared>(3);
    std::string expected;
    {
      const auto optimizer = make(*model);
      Checkpointer checkpoints(world(), *model, *optimizer,
                               {.folder = folder.path(), .every_steps = 4, .keep = 1});
      expected = train_shared(*model, *optimizer, checkpoints, 0, 7);
      EXPECT_FALSE(checkpoints.finish());
    }
    const auto resumed = test::make<Shared>(99);
    const auto optimizer = make(*resumed);
    Checkpointer checkpoints(world(), *resumed, *optimizer, {.folder = folder.path()});
    const auto from = checkpoints.resume();
    EXPECT_TRUE(from && from->is_exact);
    EXPECT_EQ(train_shared(*resumed, *optimizer, checkpoints, 4, 7), expected);
    EXPECT_EQ(resumed->last->weight.data_ptr(), resumed->block->weight.data_ptr());
    EXPECT_EQ(resumed->part.data_ptr(), resumed->whole[1].data_ptr());
    EXPECT_FALSE(checkpoints.finish());
  }
}

TEST_F(CheckpointerModuleTest, TheMeanOfSharedMemoryIsResumedFrom) {
  const test::SharedFolder folder(world());
  const auto model = test::make<Shared>(3);
  const auto make = [&](Shared& module) {
    return optim::make_optimizer("gossip-sgd", world(), module, test::momentum_sgd(module),
                                 topology::ring(size()), test::method_options());
  };
  std::string expected;
  {
    const auto optimizer = make(*model);
    Checkpointer checkpoints(world(), *model, *optimizer,
                             {.folder = folder.path(), .every_steps = 4});
    model->brief.fill_(rank() + 0.37);
    model->repeated.narrow(0, 0, 1).fill_(0.1 * rank());
    train_shared(*model, *optimizer, checkpoints, 0, 4);
    EXPECT_FALSE(checkpoints.finish());
    optimizer->with_mean_model([&] { expected = test::bytes_of({model->brief, model->repeated}); });
  }
  const auto resumed = test::make<Shared>(99);
  const auto optimizer = make(*resumed);
  Checkpointer checkpoints(world(), *resumed, *optimizer,
                           {.folder = folder.path(), .resumes_from_mean = true});
  const auto from = checkpoints.resume();
  EXPECT_TRUE(from && !from->is_exact);
  EXPECT_EQ(test::bytes_of({resumed->brief, resumed->repeated}), expected);
  EXPECT_TRUE(torch::equal(resumed->last->weight, resumed->block->weight));
  EXPECT_FALSE(checkpoints.finish());
}

}  // namespace
}  // namespace gossip::checkpoint
