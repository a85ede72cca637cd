// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The memory behind tensors: who shares it, and who owns it.

#include <cstddef>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace gossip::model {

struct MemoryRange {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
};

[[nodiscard]] inline bool overlaps(const MemoryRange& a, const MemoryRange& b) {
  return a.begin < b.end && b.begin < a.end;
}

/// From the first byte that a tensor can address to behind the last; empty without elements.
[[nodiscard]] MemoryRange range_of(const at::Tensor& tensor);

/// Whether both show the same elements in the same way: place, type, shape and strides.
[[nodiscard]] bool is_alias(const at::Tensor& a, const at::Tensor& b);

/// Whether they have a byte in common. Memory: their range, when their ranges overlap.
[[nodiscard]] bool shares_memory(const at::Tensor& a, const at::Tensor& b);

/// Whether it shows a byte of its memory more than once. Memory: its range, unless it is dense.
[[nodiscard]] bool repeats_elements(const at::Tensor& tensor);

/// A tensor of a module.
struct Holder {
  std::string name;
  at::Tensor tensor;
  bool is_buffer = false;
  bool moves = false;  ///< whether it is to get other memory
};

/// Throws gossip::Error naming two holders that have memory in common of which one moves, so that
/// they would come apart.
void check_separate(std::vector<Holder> holders);

/// The tensors without those that are aliases of an earlier one.
[[nodiscard]] std::vector<at::Tensor> distinct(const std::vector<at::Tensor>& tensors);

/// Copies values of the same shape, also to a tensor that shows an element several times (expand).
void assign_(const at::Tensor& to, const at::Tensor& from);

/// Makes a storage refer to `memory` of the same size, with the values that it has; all tensors on
/// it follow. `memory` must outlive its stay there.
void move_storage(const at::Tensor& tensor, void* memory);

/// Makes a storage refer to memory of its own, with the values that it has; all tensors on it
/// follow. Where there is none, they lose their values, and whoever reads them gets an error.
void own_storage(const at::Tensor& tensor) noexcept;

/// Another tensor on the memory of this one, whose owner it takes over. Tensors on the old storage
/// still refer to that memory: give them others, or own_storage() theirs.
[[nodiscard]] at::Tensor take_memory(const at::Tensor& tensor);

}  // namespace gossip::model
