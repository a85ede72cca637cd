// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The IDX files of MNIST and its relatives, packed by gzip or not.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gossip::examples {

/// Grey images of one size, one after the other, row by row: [count, rows, columns].
struct IdxImages {
  std::int64_t count = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::uint8_t> pixels = {};
};

/// Where Debian's package dataset-fashion-mnist puts the files.
inline constexpr const char* kFashionMnistFolder = "/usr/share/datasets/fashion-mnist";

/// The path of a file of Fashion-MNIST in a folder: `name`.gz, or `name` where it is not packed, as
/// torchvision leaves it. Throws gossip::Error, saying where to get it, when there is neither.
[[nodiscard]] std::filesystem::path fashion_mnist_file(const std::filesystem::path& folder,
                                                       const std::string& name);

/// Reads a file of images (magic number 0x00000803). Throws gossip::Error, naming the file, what
/// was expected and what was found, when it is missing, is not such a file, or is damaged or
/// incomplete.
[[nodiscard]] IdxImages read_idx_images(const std::filesystem::path& path);

/// Reads a file of labels (magic number 0x00000801). Throws as read_idx_images().
[[nodiscard]] std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& path);

}  // namespace gossip::examples
