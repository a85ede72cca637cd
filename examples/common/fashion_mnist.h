// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Fashion-MNIST: 60,000 training and 10,000 test images of ten kinds of clothing.

#include <cstdint>
#include <filesystem>
#include <span>

#include <ATen/core/Tensor.h>

#include "common/idx.h"

namespace gossip::examples {

/// Images as a network wants them, with their classes.
struct Batch {
  at::Tensor
      images;  ///< [n, 1, 28, 28] float, normalized to mean 0 and deviation 1 over the training set
  at::Tensor labels;  ///< [n] int64, 0 to 9
};

/// Images and their classes, kept as bytes (47 MB for the training set, a quarter of what floats
/// take).
class ImageDataset {
 public:
  static constexpr int kClasses = 10;
  static constexpr int kSide = 28;

  /// Reads two IDX files. Throws gossip::Error, naming the file, what was expected and what was
  /// found, when one is missing or damaged, when the images are not of 28 x 28 pixels or not as
  /// many as the labels, or when a label is not one of the ten classes.
  ImageDataset(const std::filesystem::path& images, const std::filesystem::path& labels);

  [[nodiscard]] std::int64_t size() const { return labels_.size(0); }

  /// The class of each sample.
  [[nodiscard]] std::span<const std::int64_t> labels() const;

  /// The samples with these numbers, in this order.
  [[nodiscard]] Batch batch(std::span<const std::int64_t> indices) const;

  /// `count` samples from number `first` on.
  [[nodiscard]] Batch range(std::int64_t first, std::int64_t count) const;

 private:
  at::Tensor images_;  // [n, 1, 28, 28] bytes
  at::Tensor labels_;  // [n] int64
};

struct FashionMnist {
  ImageDataset train;
  ImageDataset test;
};

/// Reads the four files of `folder`, whose names are those of Debian's package. Throws
/// gossip::Error as ImageDataset does, with the package's name when a file is missing.
[[nodiscard]] FashionMnist load_fashion_mnist(
    const std::filesystem::path& folder = kFashionMnistFolder);

}  // namespace gossip::examples
