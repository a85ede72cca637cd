// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <libgossip/base/error.h>
#include <libgossip/model/flat_model.h>

namespace gossip::model {

/// A module with whatever parameters and layers a test gives it.
struct Any : torch::nn::Module {
  Any() : torch::nn::Module("any") {}
  using torch::nn::Module::register_buffer;
  using torch::nn::Module::register_module;
  using torch::nn::Module::register_parameter;
};

struct Net : torch::nn::Module {
  Net() {
    first = register_module("first", torch::nn::Linear(3, 5));
    norm = register_module("norm", torch::nn::BatchNorm1d(5));
    last = register_module("last", torch::nn::Linear(5, 2));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return last(torch::relu(norm(first(x.to(first->weight.dtype())))));
  }
  torch::nn::Linear first{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  torch::nn::Linear last{nullptr};
};

inline std::vector<torch::Tensor> copies_of(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> copies;
  for (const torch::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

inline void expect_equal(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << i;
}

/// All parameters are where the flat model says.
inline void expect_aliases(const FlatModel& flat) {
  const std::vector<VectorView> buffers = flat.parameters();
  for (const FlatModel::Parameter& entry : flat.entries()) {
    if (entry.size == 0) continue;
    const VectorView& buffer = buffers.at(entry.vector);
    const auto* start = static_cast<const std::byte*>(buffer.data);
    EXPECT_EQ(entry.tensor.data_ptr(), start + entry.offset * size_of(buffer.dtype)) << entry.name;
    EXPECT_LE(entry.offset + entry.size, buffer.size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(entry.tensor.data_ptr()) % 64, 0U) << entry.name;
    EXPECT_TRUE(entry.tensor.is_leaf()) << entry.name;
    EXPECT_TRUE(entry.tensor.requires_grad()) << entry.name;
    EXPECT_TRUE(entry.tensor.is_contiguous()) << entry.name;
  }
}

inline void expect_error(const std::function<void()>& action,
                         const std::vector<std::string>& parts) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown, but '" << parts.front() << "' was expected";
  } catch (const Error& error) {
    for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

}  // namespace gossip::model
