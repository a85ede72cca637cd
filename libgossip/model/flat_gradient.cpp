// SPDX-License-Identifier: Apache-2.0
// The gradients of a flat model.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <torch/types.h>

#include <libgossip/base/narrow.h>
#include <libgossip/model/flat_model.h>

namespace gossip::model {
namespace {

at::Tensor dense(const at::Tensor& gradient) {
  return gradient.defined() && gradient.is_sparse() ? gradient.to_dense() : gradient;
}

/// Undefined counts as zero.
void copy_or_zero_(at::Tensor target, const at::Tensor& gradient) {
  if (gradient.defined()) {
    target.copy_(gradient);
  } else {
    target.zero_();
  }
}

}  // namespace

const std::vector<at::Tensor>& FlatModel::gradient_buffers() {
  if (gradients_.empty()) {
    for (std::size_t v = 0; v < flat_.size(); ++v) {
      gradients_.push_back(
          at::zeros({narrow<std::int64_t>(gradient_sizes_[v])}, flat_[v].options()));
    }
  }
  return gradients_;
}

std::shared_ptr<const void> FlatModel::gradient_memory() {
  return std::make_shared<const std::vector<at::Tensor>>(gradient_buffers());
}

std::vector<VectorView> FlatModel::separate_gradients() { return views(gradient_buffers()); }

std::vector<VectorView> FlatModel::gradients() {
  std::vector<VectorView> result = separate_gradients();
  const std::vector<VectorView> model = parameters();
  for (std::size_t v = 0; v < result.size(); ++v) result[v].size = model[v].size;
  return result;
}

VectorView FlatModel::gradient_slice(std::size_t entry) {
  return view_of(slice(gradient_buffers()[entries_[entry].vector], entries_[entry],
                       entries_[entry].gradient_offset));
}

void FlatModel::gather_gradient(std::size_t entry) {
  const at::NoGradGuard no_grad;
  const Parameter& parameter = entries_[entry];
  copy_or_zero_(slice(gradient_buffers()[parameter.vector], parameter, parameter.gradient_offset),
                dense(parameter.tensor.grad()));
}

void FlatModel::scatter_gradient(std::size_t entry) {
  const at::NoGradGuard no_grad;
  const Parameter& parameter = entries_[entry];
  const at::Tensor source =
      slice(gradient_buffers()[parameter.vector], parameter, parameter.gradient_offset);
  at::Tensor& gradient = parameter.tensor.mutable_grad();
  if (gradient.defined() && !gradient.is_sparse()) {
    gradient.copy_(source);
  } else {
    gradient = source.clone();
  }
}

/// Of an entry and those tied to it; undefined when none of them has one.
at::Tensor FlatModel::sum_of_gradients(const Parameter& entry) const {
  at::Tensor sum = dense(entry.tensor.grad());
  for (const std::size_t other : entry.tied) {
    const at::Tensor gradient = dense(entries_[other].tensor.grad());
    if (gradient.defined()) sum = sum.defined() ? sum + gradient : gradient;
  }
  return sum;
}

void FlatModel::gather_gradients() {
  const at::NoGradGuard no_grad;
  for (const Group& group : groups_) {
    const Parameter& entry = entries_[group.entry];
    copy_or_zero_(slice(gradient_buffers()[entry.vector], entry, entry.offset),
                  sum_of_gradients(entry));
  }
}

const std::vector<VectorPiece>& FlatModel::find_gradient() {
  const at::NoGradGuard no_grad;
  pieces_.clear();
  dense_.clear();
  for (const Group& group : groups_) {
    const Parameter& entry = entries_[group.entry];
    const at::Tensor gradient = sum_of_gradients(entry);
    const at::ScalarType type = flat_[entry.vector].scalar_type();
    if (!gradient.defined()) {
      pieces_.push_back({entry.vector, entry.offset, zeros(entry)});
    } else if (gradient.is_same(entry.tensor.grad()) && gradient.is_contiguous() &&
               gradient.scalar_type() == type && gradient.sizes() == entry.tensor.sizes()) {
      pieces_.push_back({entry.vector, entry.offset, view_of(gradient)});
    } else {
      dense_.push_back(gradient.to(type).expand_as(entry.tensor).contiguous());
      pieces_.push_back({entry.vector, entry.offset, view_of(dense_.back())});
    }
    const Dtype dtype = pieces_.back().values.dtype;
    const std::size_t in_line = entry.size * size_of(dtype) % kAlignment;
    if (in_line == 0) continue;
    alignas(kAlignment) static std::array<std::byte, kAlignment> padding{};
    pieces_.push_back({entry.vector,
                       entry.offset + entry.size,
                       {dtype, padding.data(), (kAlignment - in_line) / size_of(dtype)}});
  }
  return pieces_;
}

/// In place of a gradient that is missing.
VectorView FlatModel::zeros(const Parameter& entry) {
  const VectorView flat = view_of(flat_[entry.vector]);
  if (!zeros_.defined()) {
    const std::size_t most = std::ranges::max(entries_, {}, &Parameter::size).size;
    zeros_ = at::zeros({narrow<std::int64_t>(most)}, at::kDouble);
  }
  return {flat.dtype, zeros_.data_ptr(), entry.size};
}

/// Of tied parameters the first gets what belongs to all of them. What is frozen now gets none.
LentGradient::LentGradient(const FlatModel& model, const std::vector<VectorView>& memory) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> flat;
  for (const VectorView& vector : memory) flat.push_back(tensor_of(vector));
  const std::vector<FlatModel::Parameter>& entries = model.entries();
  for (const FlatModel::Parameter& entry : entries) {
    at::Tensor parameter = entry.tensor;
    own_.emplace_back(parameter, parameter.grad());
    at::Tensor lent;
    const auto trains = [&](std::size_t tied) { return entries[tied].tensor.requires_grad(); };
    if (!entry.is_tied && (parameter.requires_grad() || std::ranges::any_of(entry.tied, trains))) {
      lent = flat[entry.vector]
                 .narrow(0, narrow<std::int64_t>(entry.offset), parameter.numel())
                 .view(parameter.sizes());
    }
    parameter.mutable_grad() = lent;
  }
}

LentGradient::~LentGradient() {
  for (auto& [parameter, gradient] : own_) parameter.mutable_grad() = gradient;
}

}  // namespace gossip::model
