// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The safetensors format: a length, a header of JSON, and the tensors' bytes one after the other.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gossip::checkpoint {

/// A tensor of a file.
struct TensorInfo {
  std::string name = {};
  /// "F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "C64" (complex, of two F32), "I64", "I32",
  /// "I16", "I8", "U64", "U32", "U16", "U8" or "BOOL"
  std::string dtype = {};
  std::vector<std::int64_t> shape = {};
  std::size_t offset_bytes = 0;  ///< within the data, which begins behind the header
  std::size_t bytes = 0;
};

/// Bytes of one element; 0 for a name that is none of those above.
[[nodiscard]] std::size_t dtype_bytes(std::string_view dtype);

/// Gives the tensors their places: one behind the other without holes, as the format demands, and
/// those with larger elements first, so that each is aligned to its elements. Changes their order.
/// Returns the bytes of all. Throws gossip::Error for an unknown dtype and for two of one name.
std::size_t place(std::vector<TensorInfo>& tensors);

/// What stands in front of the data: 8 bytes of length and the header, together a multiple of 64.
/// Names that are not UTF-8 are written as utf8_of() has them. Throws gossip::Error for a header of
/// more than 100 MB, which no reader takes.
[[nodiscard]] std::string safetensors_header(const std::vector<TensorInfo>& tensors,
                                             const std::map<std::string, std::string>& metadata);

/// What a file holds: its tensors in the order of their places.
struct SafetensorsContents {
  std::vector<TensorInfo> tensors = {};
  std::map<std::string, std::string> metadata = {};
  std::span<const std::byte> data = {};  ///< of the file given
};

/// Reads the header of a whole file and checks all of it against the file's size: the length, each
/// tensor's name, dtype, shape and place, and that the tensors cover the data once and without
/// holes. `name` is for messages. Local. Throws gossip::Error saying what is wrong.
[[nodiscard]] SafetensorsContents read_safetensors(std::span<const std::byte> file,
                                                   std::string_view name);

}  // namespace gossip::checkpoint
