// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <c10/core/CPUAllocator.h>
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/model/memory.h>

namespace gossip::model {
namespace {

/// The tensor's bytes as elements of `bytes`, which begins where `range` does.
at::Tensor bytes_of(const at::Tensor& tensor, const at::Tensor& bytes, const MemoryRange& range) {
  const std::int64_t width = tensor.element_size();
  std::vector<std::int64_t> sizes = tensor.sizes().vec();
  std::vector<std::int64_t> strides = tensor.strides().vec();
  for (std::int64_t& stride : strides) stride *= width;
  sizes.push_back(width);
  strides.push_back(1);
  return bytes.as_strided(sizes, strides, range_of(tensor).begin - range.begin);
}

std::string_view kind_of(const Holder& holder) { return holder.is_buffer ? "buffer" : "parameter"; }

bool is_dense(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->is_non_overlapping_and_dense();
}

}  // namespace

MemoryRange range_of(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided || !tensor.has_storage() || tensor.numel() == 0) return {};
  std::int64_t last = 0;  // element
  for (std::int64_t d = 0; d < tensor.dim(); ++d) last += (tensor.size(d) - 1) * tensor.stride(d);
  const auto* begin = static_cast<const std::byte*>(tensor.data_ptr());
  return {begin, begin + (last + 1) * tensor.element_size()};
}

bool is_alias(const at::Tensor& a, const at::Tensor& b) {
  const MemoryRange range = range_of(a);
  return range.begin != nullptr && range.begin == range_of(b).begin &&
         a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.strides() == b.strides();
}

bool shares_memory(const at::Tensor& a, const at::Tensor& b) {
  const MemoryRange of_a = range_of(a);
  const MemoryRange of_b = range_of(b);
  if (!overlaps(of_a, of_b)) return false;
  if (is_dense(a) && is_dense(b)) return true;
  const MemoryRange both{std::min(of_a.begin, of_b.begin), std::max(of_a.end, of_b.end)};
  const at::Tensor marks = at::zeros({both.end - both.begin}, at::kByte);
  bytes_of(a, marks, both).fill_(1);
  return bytes_of(b, marks, both).any().item<bool>();
}

bool repeats_elements(const at::Tensor& tensor) {
  if (is_dense(tensor) || tensor.numel() == 0) return false;
  const MemoryRange range = range_of(tensor);
  const at::Tensor marks = at::zeros({range.end - range.begin}, at::kByte);
  bytes_of(tensor, marks, range).fill_(1);
  return static_cast<std::size_t>(marks.sum().item<std::int64_t>()) < tensor.nbytes();
}

void check_separate(std::vector<Holder> holders) {
  std::erase_if(holders, [](const Holder& holder) { return !range_of(holder.tensor).begin; });
  std::ranges::stable_sort(holders, {},
                           [](const Holder& holder) { return range_of(holder.tensor).begin; });
  std::vector<const Holder*> open;  // those that may reach into the next one
  for (const Holder& holder : holders) {
    const MemoryRange range = range_of(holder.tensor);
    std::erase_if(open,
                  [&](const Holder* other) { return range_of(other->tensor).end <= range.begin; });
    for (const Holder* other : open) {
      GOSSIP_CHECK(
          !(holder.moves || other->moves) || !shares_memory(holder.tensor, other->tensor),
          "The {} '{}' and the {} '{}' have memory in common without being tied as a whole, "
          "so that moving the model into one buffer would part them: give both the same "
          "tensor, or clone() one of them, before the optimizer is made.",
          kind_of(*other), other->name, kind_of(holder), holder.name);
    }
    open.push_back(&holder);
  }
}

std::vector<at::Tensor> distinct(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> result;
  std::unordered_multimap<const void*, at::Tensor> seen;
  for (const at::Tensor& tensor : tensors) {
    const void* begin = range_of(tensor).begin;
    const auto [first, last] = seen.equal_range(begin);
    const bool is_known = std::any_of(first, last, [&](const auto& other) {
      return other.second.is_same(tensor) || is_alias(other.second, tensor);
    });
    if (is_known) continue;
    seen.emplace(begin, tensor);
    result.push_back(tensor);
  }
  return result;
}

void assign_(const at::Tensor& to, const at::Tensor& from) {
  const at::NoGradGuard no_grad;
  at::Tensor target = to;
  at::Tensor source = from;
  for (std::int64_t d = 0; d < to.dim(); ++d) {
    if (to.stride(d) != 0 || to.size(d) < 2) continue;
    target = target.narrow(d, 0, 1);
    source = source.narrow(d, 0, 1);
  }
  target.copy_(source);
}

void move_storage(const at::Tensor& tensor, void* memory) {
  const c10::Storage& storage = tensor.storage();
  if (storage.nbytes() > 0) std::memcpy(memory, storage.data(), storage.nbytes());
  storage.set_data_ptr_noswap({memory, storage.device()});
}

void own_storage(const at::Tensor& tensor) noexcept {
  const c10::Storage& storage = tensor.storage();
  try {
    c10::DataPtr own = c10::GetCPUAllocator()->allocate(storage.nbytes());
    if (storage.nbytes() > 0) std::memcpy(own.get(), storage.data(), storage.nbytes());
    storage.set_data_ptr_noswap(std::move(own));
  } catch (const std::exception& error) {
    storage.unsafeGetStorageImpl()->release_data_and_set_meta_custom_data_ptr_error_msg_(
        fmt::format("These values went with an optimizer of libgossip, since there was no memory "
                    "for a copy of them: {}",
                    error.what()));
  }
}

at::Tensor take_memory(const at::Tensor& tensor) {
  const c10::Storage& old = tensor.storage();
  void* data = old.mutable_data();
  c10::Storage storage(c10::Storage::use_byte_size_t(), old.nbytes(),
                       old.set_data_ptr({data, old.device()}));
  return at::empty({0}, tensor.options()).set_(storage, 0, tensor.sizes(), tensor.strides());
}

}  // namespace gossip::model
