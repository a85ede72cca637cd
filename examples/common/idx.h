// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The IDX files of MNIST and its relatives, packed by gzip or not.

#include <cstdint>
#include <filesystem>
#include <vector>

namespace gossip::examples {

/// Grey images of one size, one after the other, row by row: [count, rows, columns].
struct IdxImages {
  std::int64_t count = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::uint8_t> pixels = {};
};

/// Reads a file of images (magic number 0x00000803). Throws gossip::Error, naming the file, what
/// was expected and what was found, when it is missing, is not such a file, or is damaged or
/// incomplete.
[[nodiscard]] IdxImages read_idx_images(const std::filesystem::path& path);

/// Reads a file of labels (magic number 0x00000801). Throws as read_idx_images().
[[nodiscard]] std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& path);

}  // namespace gossip::examples
