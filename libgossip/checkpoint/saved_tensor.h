// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Tensors of LibTorch as a safetensors file holds them.

#include <cstddef>
#include <string>
#include <vector>

#include <libgossip/checkpoint/safetensors.h>
#include <libgossip/model/state_dict.h>

namespace gossip::checkpoint {

/// Name, element type and shape for the file; the place is left open. Throws gossip::Error, naming
/// the tensor, for what a file cannot hold: undefined, sparse, quantized and meta tensors, and
/// element types that safetensors does not know.
[[nodiscard]] TensorInfo info_of(const model::NamedTensor& entry);

/// Copies the elements in the order of their indices, also from another device. `memory` has room
/// for all of them. Local.
void copy_to(std::byte* memory, const at::Tensor& tensor);

/// A view of elements as a file holds them, which must outlive the result.
[[nodiscard]] at::Tensor tensor_of(const TensorInfo& info, std::byte* memory);

}  // namespace gossip::checkpoint
