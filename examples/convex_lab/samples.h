// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Samples of two classes: made up, or from files.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace gossip::examples {

/// Rows of features, most of which may be 0, each with a label of +1 or -1.
struct Samples {
  struct Feature {
    std::uint32_t index;
    double value;
  };

  std::string name;
  std::size_t dimension = 0;
  std::vector<std::size_t> begins{0};  ///< of each row in `features`, and the end of the last
  std::vector<Feature> features = {};
  std::vector<double> labels = {};

  [[nodiscard]] std::size_t size() const noexcept { return labels.size(); }
  [[nodiscard]] std::span<const Feature> row(std::size_t i) const {
    return std::span(features).subspan(begins[i], begins[i + 1] - begins[i]);
  }

  /// Ends the row of the features that were appended last.
  void end_row(double label) {
    begins.push_back(features.size());
    labels.push_back(label);
  }
};

/// What made-up samples are made from.
struct SyntheticSamples {
  int num_workers;
  std::size_t samples_per_worker;
  std::size_t dimension;
  double heterogeneity = 1.0;
  std::uint64_t seed = 0;
};

/// The samples of each worker: normal features around a mean of the worker's own, labels by a plane
/// of the worker's own with noise. `heterogeneity` scales what is the worker's own; 0: all workers'
/// samples are drawn alike.
[[nodiscard]] std::vector<Samples> synthetic_samples(const SyntheticSamples& size);

/// The training images of two of the classes (0 to 9) of Fashion-MNIST, pixels from 0 to 1.
/// `folder` holds the files under the names of Debian's package. Throws gossip::Error as
/// read_idx_images(), and for classes that are not two of the ten.
[[nodiscard]] Samples fashion_mnist_pair(const std::filesystem::path& folder, int positive,
                                         int negative);

/// Hands `samples` to workers: shuffled by `seed`, cut into equal parts, what is left over dropped.
/// A share of `heterogeneity` of each part is dealt by label instead, so that at 1 all but one of
/// the workers have one label only. Throws gossip::Error for more workers than samples and for a
/// heterogeneity that is not between 0 and 1.
[[nodiscard]] std::vector<Samples> split(const Samples& samples, int num_workers,
                                         double heterogeneity, std::uint64_t seed);

}  // namespace gossip::examples
