// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>
#include <torch/torch.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/optim/all_reduce.h>
#include <libgossip/optim/gossip_sgd.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/transport/process_group.h>

#include "support/expect_throw.h"

namespace gossip::test {

/// Two branches, a layer that nobody uses, and a frozen parameter.
struct Branches : torch::nn::Module {
  Branches() {
    // The left branch stands last, where AllReduce's buckets start.
    unused = register_module("unused", torch::nn::Linear(2, 2));
    trunk = register_module("trunk", torch::nn::Linear(4, 6));
    right = register_module("right", torch::nn::Linear(6, 3));
    left = register_module("left", torch::nn::Linear(6, 3));
    frozen = register_parameter("frozen", torch::rand({3}), false);
  }
  torch::Tensor forward(const torch::Tensor& x, bool goes_left = true) {
    const torch::Tensor hidden = torch::tanh(trunk(x));
    return (goes_left ? left : right)(hidden) + frozen;
  }
  torch::nn::Linear trunk{nullptr};
  torch::nn::Linear left{nullptr};
  torch::nn::Linear right{nullptr};
  torch::nn::Linear unused{nullptr};
  torch::Tensor frozen;
};

/// A model with statistics.
struct Normed : torch::nn::Module {
  Normed() {
    first = register_module("first", torch::nn::Linear(4, 6));
    norm = register_module("norm", torch::nn::BatchNorm1d(6));
    last = register_module("last", torch::nn::Linear(6, 3));
  }
  torch::Tensor forward(const torch::Tensor& x) { return last(torch::relu(norm(first(x)))); }
  torch::nn::Linear first{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  torch::nn::Linear last{nullptr};
};

/// A model from a seed, in double precision.
template <class Module>
std::shared_ptr<Module> make(std::uint64_t seed) {
  // Not to(kFloat64), which would also convert the integer that counts batch norm's batches.
  const auto usual = torch::get_default_dtype();
  torch::set_default_dtype(caffe2::TypeMeta::Make<double>());
  torch::manual_seed(seed);
  auto module = std::make_shared<Module>();
  torch::set_default_dtype(usual);
  return module;
}

/// What a rank trains on in a step.
inline torch::Tensor batch(Rank rank, int step) {
  const torch::Tensor numbers = torch::arange(32, torch::kFloat64).reshape({8, 4});
  return torch::sin(numbers * (1.0 + 0.37 * rank) + 0.11 * step + rank);
}

template <class Module>
torch::Tensor loss(Module& module, Rank rank, int step) {
  const torch::Tensor target = torch::cos(batch(rank, step).narrow(1, 0, 3));
  return (module.forward(batch(rank, step)) - target).square().mean();
}

inline torch::optim::SGD sgd(torch::nn::Module& module, double rate = 0.1, double momentum = 0.0) {
  return torch::optim::SGD(module.parameters(), torch::optim::SGDOptions(rate).momentum(momentum));
}

inline std::vector<torch::Tensor> copies_of(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> copies;
  for (const torch::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

inline void expect_equal(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  EXPECT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    EXPECT_TRUE(torch::equal(a[i], b[i])) << "tensor " << i << "\n" << a[i] << "\n" << b[i];
}

inline void expect_near(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b,
                        double tolerance = 1e-12) {
  EXPECT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), tolerance) << "tensor " << i;
}

/// The bytes of some tensors, for comparing ranks.
inline std::string bytes_of(const std::vector<torch::Tensor>& tensors) {
  std::string bytes;
  for (const torch::Tensor& tensor : tensors) {
    const torch::Tensor dense = tensor.detach().contiguous();
    bytes.append(static_cast<const char*>(dense.data_ptr()), dense.nbytes());
  }
  return bytes;
}

/// Tests over all processes of the job.
class OptimTest : public testing::Test {
 protected:
  [[nodiscard]] transport::Group& world() const { return *world_; }
  [[nodiscard]] Rank rank() const { return world_->rank(); }
  [[nodiscard]] int size() const { return world_->size(); }
  [[nodiscard]] Rank last() const { return size() - 1; }

  /// Whether all ranks pass the same.
  [[nodiscard]] bool is_same_everywhere(const std::string& text) const {
    const std::vector<std::string> all = world_->all_gather(text);
    return std::all_of(all.begin(), all.end(), [&](const auto& other) { return other == all[0]; });
  }

 private:
  std::unique_ptr<transport::Group> world_ =
      transport::make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD));
};

}  // namespace gossip::test
