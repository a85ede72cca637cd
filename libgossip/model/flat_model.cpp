// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <unordered_set>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/model/flat_model.h>

namespace gossip::model {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::array kTypes{at::kFloat, at::kDouble};

std::int64_t signed_size(std::size_t size) { return narrow<std::int64_t>(size); }

void check_parameter(const std::string& name, const at::Tensor& tensor) {
  GOSSIP_CHECK(std::find(kTypes.begin(), kTypes.end(), tensor.scalar_type()) != kTypes.end(),
               "Parameter '{}' has the element type {}: only float and double models can be mixed.",
               name, c10::toString(tensor.scalar_type()));
  GOSSIP_CHECK(tensor.device().is_cpu(),
               "Parameter '{}' is on the device {}: this version trains on the CPU only.", name,
               tensor.device().str());
}

}  // namespace

VectorView view_of(const at::Tensor& tensor) {
  GOSSIP_ASSERT(tensor.is_contiguous(), "a tensor of {} elements is not contiguous",
                tensor.numel());
  const Dtype dtype = tensor.scalar_type() == at::kDouble ? Dtype::kFloat64 : Dtype::kFloat32;
  return {dtype, tensor.data_ptr(), narrow<std::size_t>(tensor.numel())};
}

at::Tensor tensor_of(const VectorView& vector) {
  const auto type = vector.dtype == Dtype::kFloat64 ? at::kDouble : at::kFloat;
  return at::from_blob(vector.data, {signed_size(vector.size)}, type);
}

double squared_distance(const VectorView& a, const VectorView& b) {
  return visit(a, [&]<class T>(std::span<T> values) {
    const std::span<T> others = b.as<T>();
    return kernels::squared_distance(std::span<const T>(values), std::span<const T>(others));
  });
}

FlatModel::FlatModel(torch::nn::Module& module) : module_(&module) {
  std::vector<std::size_t> sizes(kTypes.size(), 0);
  std::unordered_set<const void*> seen;
  for (const auto& item : module.named_parameters()) {
    const at::Tensor& tensor = item.value();
    if (!seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    if (tensor.requires_grad()) {
      check_parameter(item.key(), tensor);
      add(item.key(), tensor, sizes);
    } else {
      frozen_.push_back({item.key(), tensor, 0, 0, 0});
    }
  }
  GOSSIP_CHECK(
      num_elements_ > 0,
      "The module '{}' has no parameters that require gradients: there is nothing to train.",
      module.name());
  // Element types that the model does not have get no buffer.
  std::vector<std::size_t> position(kTypes.size(), 0);
  for (std::size_t type = 0; type < kTypes.size(); ++type) {
    position[type] = flat_.size();
    const bool is_used = std::any_of(entries_.begin(), entries_.end(),
                                     [&](const Parameter& entry) { return entry.vector == type; });
    if (is_used) flat_.push_back(at::empty({signed_size(sizes[type])}, kTypes[type]));
  }
  for (Parameter& entry : entries_) {
    entry.vector = position[entry.vector];
    zero_padding(entry);
  }
  restore_aliases();
}

void FlatModel::zero_padding(const Parameter& entry) const {
  const VectorView flat = view_of(flat_[entry.vector]);
  const std::size_t width = size_of(flat.dtype);
  const std::size_t used_bytes = entry.size * width % kAlignment;
  if (used_bytes == 0) return;
  auto* end = static_cast<std::byte*>(flat.data) + (entry.offset + entry.size) * width;
  std::memset(end, 0, kAlignment - used_bytes);
}

void FlatModel::add(const std::string& name, const at::Tensor& tensor,
                    std::vector<std::size_t>& sizes) {
  const std::size_t type = tensor.scalar_type() == at::kFloat ? 0 : 1;
  const VectorView own = view_of(tensor.contiguous());
  entries_.push_back({name, tensor, type, sizes[type], own.size});
  const std::size_t step = kAlignment / size_of(own.dtype);
  sizes[type] += (own.size + step - 1) / step * step;
  num_elements_ += tensor.numel();
}

std::vector<VectorView> FlatModel::views(const std::vector<at::Tensor>& tensors) {
  std::vector<VectorView> result;
  for (const at::Tensor& tensor : tensors) result.push_back(view_of(tensor));
  return result;
}

at::Tensor FlatModel::slice(const std::vector<at::Tensor>& flat, const Parameter& entry) const {
  return flat[entry.vector]
      .narrow(0, signed_size(entry.offset), entry.tensor.numel())
      .view(entry.tensor.sizes());
}

const std::vector<at::Tensor>& FlatModel::gradient_buffers() {
  if (gradients_.empty()) {
    for (const at::Tensor& flat : flat_) gradients_.push_back(at::zeros_like(flat));
  }
  return gradients_;
}

std::vector<VectorView> FlatModel::gradients() { return views(gradient_buffers()); }

std::string FlatModel::description() const {
  std::string shapes;
  const auto add_shape = [&](const std::string& name, const at::Tensor& tensor) {
    shapes += fmt::format("{} {}", name, c10::toString(tensor.scalar_type()));
    for (const std::int64_t extent : tensor.sizes()) shapes += fmt::format(",{}", extent);
    shapes += ';';
  };
  for (const Parameter& entry : entries_) add_shape(entry.name, entry.tensor);
  for (const Parameter& entry : frozen_) add_shape(entry.name, entry.tensor);
  const auto buffers = module_->named_buffers();
  for (const auto& item : buffers) add_shape(item.key(), item.value());
  return fmt::format("{} parameters with {} elements and {} other tensors (shapes {:08x})",
                     entries_.size(), num_elements_, frozen_.size() + buffers.size(),
                     static_cast<std::uint32_t>(std::hash<std::string>{}(shapes)));
}

void FlatModel::restore_aliases() {
  for (Parameter& entry : entries_) {
    const VectorView flat = view_of(flat_[entry.vector]);
    const void* expected = static_cast<std::byte*>(flat.data) + entry.offset * size_of(flat.dtype);
    if (entry.tensor.data_ptr() == expected) continue;
    if (entry.size == 0 && entry.tensor.numel() == 0) continue;  // has no address
    check_parameter(entry.name, entry.tensor);
    GOSSIP_CHECK(entry.tensor.scalar_type() == flat_[entry.vector].scalar_type() &&
                     std::cmp_equal(entry.tensor.numel(), entry.size),
                 "Parameter '{}' had {} elements of type {} when the optimizer was made and has {} "
                 "of type {} "
                 "now: convert or load the module first, then make the optimizer.",
                 entry.name, entry.size, c10::toString(flat_[entry.vector].scalar_type()),
                 entry.tensor.numel(), c10::toString(entry.tensor.scalar_type()));
    at::Tensor view = slice(flat_, entry);
    {
      const at::NoGradGuard no_grad;
      view.copy_(entry.tensor);
      entry.tensor.set_data(view);
    }
  }
  for (const Parameter& entry : frozen_) {
    GOSSIP_CHECK(!entry.tensor.requires_grad(),
                 "Parameter '{}' was frozen when the optimizer was made and is trainable now, so "
                 "it would train "
                 "without being mixed: make a new optimizer after unfreezing.",
                 entry.name);
  }
}

void FlatModel::move_to(const std::vector<VectorView>& memory) {
  if (memory.empty()) return;
  GOSSIP_ASSERT(memory.size() == flat_.size(), "{} vectors for {}", memory.size(), flat_.size());
  for (std::size_t v = 0; v < flat_.size(); ++v) {
    const at::Tensor moved = tensor_of(memory[v]);
    moved.copy_(flat_[v]);
    flat_[v] = moved;
  }
  is_elsewhere_ = true;
  restore_aliases();
}

void FlatModel::move_to_own_memory() {
  if (!is_elsewhere_) return;
  for (at::Tensor& flat : flat_) flat = flat.clone();
  is_elsewhere_ = false;
  restore_aliases();
}

VectorView FlatModel::gradient_slice(std::size_t entry) {
  const Parameter& parameter = entries_[entry];
  const VectorView whole = gradients()[parameter.vector];
  return {whole.dtype,
          static_cast<std::byte*>(whole.data) + parameter.offset * size_of(whole.dtype),
          parameter.size};
}

void FlatModel::gather_gradient(std::size_t entry) {
  const Parameter& parameter = entries_[entry];
  const at::NoGradGuard no_grad;
  at::Tensor target = slice(gradient_buffers(), parameter);
  const at::Tensor& gradient = parameter.tensor.grad();
  if (gradient.defined()) {
    target.copy_(gradient.is_sparse() ? gradient.to_dense() : gradient);
  } else {
    target.zero_();
  }
}

void FlatModel::scatter_gradient(std::size_t entry) {
  Parameter& parameter = entries_[entry];
  const at::NoGradGuard no_grad;
  const at::Tensor source = slice(gradient_buffers(), parameter);
  at::Tensor& gradient = parameter.tensor.mutable_grad();
  if (gradient.defined() && !gradient.is_sparse()) {
    gradient.copy_(source);
  } else {
    gradient = source.clone();
  }
}

const std::vector<VectorPiece>& FlatModel::find_gradient() {
  const at::NoGradGuard no_grad;
  pieces_.clear();
  dense_.clear();
  for (const Parameter& entry : entries_) {
    const at::Tensor& gradient = entry.tensor.grad();
    if (!gradient.defined()) {
      pieces_.push_back({entry.vector, entry.offset, zeros(entry)});
    } else if (!gradient.is_sparse() && gradient.is_contiguous()) {
      pieces_.push_back({entry.vector, entry.offset, view_of(gradient)});
    } else {
      dense_.push_back((gradient.is_sparse() ? gradient.to_dense() : gradient).contiguous());
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
    zeros_ = at::zeros({signed_size(most)}, at::kDouble);
  }
  return {flat.dtype, zeros_.data_ptr(), entry.size};
}

LentGradient::LentGradient(const FlatModel& model, const std::vector<VectorView>& memory) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> flat;
  for (const VectorView& vector : memory) flat.push_back(tensor_of(vector));
  for (const FlatModel::Parameter& entry : model.entries()) {
    at::Tensor parameter = entry.tensor;
    own_.emplace_back(parameter, parameter.grad());
    parameter.mutable_grad() = flat[entry.vector]
                                   .narrow(0, signed_size(entry.offset), parameter.numel())
                                   .view(parameter.sizes());
  }
}

LentGradient::~LentGradient() {
  for (auto& [parameter, gradient] : own_) parameter.mutable_grad() = gradient;
}

std::vector<at::Tensor> FlatModel::others() const {
  std::vector<at::Tensor> result = module_->buffers();
  for (const Parameter& entry : frozen_) result.push_back(entry.tensor);
  return result;
}

std::vector<at::Tensor> FlatModel::float_buffers() const {
  std::vector<at::Tensor> result;
  for (const at::Tensor& buffer : module_->buffers()) {
    if (buffer.scalar_type() == at::kFloat || buffer.scalar_type() == at::kDouble)
      result.push_back(buffer);
  }
  return result;
}

}  // namespace gossip::model
