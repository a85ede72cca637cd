// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/samples.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>

#include "common/idx.h"
#include "convex_lab/normal_numbers.h"

namespace gossip::examples {
namespace {

std::vector<double> normals(SplitMix64& random, std::size_t count, double scale) {
  std::vector<double> result(count);
  for (double& value : result) value = scale * normal(random);
  return result;
}

void append(Samples& samples, const Samples& from, std::size_t row) {
  const auto features = from.row(row);
  samples.features.insert(samples.features.end(), features.begin(), features.end());
  samples.end_row(from.labels[row]);
}

void shuffle(std::vector<std::size_t>& numbers, SplitMix64& random) {
  for (std::size_t k = numbers.size(); k > 1; --k)
    std::swap(numbers[k - 1], numbers[random.below(k)]);
}

}  // namespace

std::vector<Samples> synthetic_samples(const SyntheticSamples& size) {
  std::vector<Samples> parts;
  SplitMix64 of_all(size.seed);
  const std::vector<double> plane = normals(of_all, size.dimension, 1.0);
  for (int worker = 0; worker < size.num_workers; ++worker) {
    Samples samples{.name = "synthetic", .dimension = size.dimension};
    SplitMix64 random = SplitMix64::at(size.seed, static_cast<std::uint64_t>(worker) + 1);
    const auto mean = normals(random, size.dimension, 0.5 * size.heterogeneity);
    const auto own_plane = normals(random, size.dimension, size.heterogeneity);
    for (std::size_t i = 0; i < size.samples_per_worker; ++i) {
      double score = normal(random);
      for (std::size_t k = 0; k < size.dimension; ++k) {
        const double value = mean[k] + normal(random);
        samples.features.push_back({static_cast<std::uint32_t>(k), value});
        score += (plane[k] + own_plane[k]) * value;
      }
      samples.end_row(score >= 0.0 ? 1.0 : -1.0);
    }
    parts.push_back(std::move(samples));
  }
  return parts;
}

Samples fashion_mnist_pair(const std::filesystem::path& folder, int positive, int negative) {
  GOSSIP_CHECK(
      positive >= 0 && positive < 10 && negative >= 0 && negative < 10 && positive != negative,
      "The classes {} and {} are not two of the ten, 0 to 9.", positive, negative);
  const IdxImages images = read_idx_images(fashion_mnist_file(folder, "train-images-idx3-ubyte"));
  const auto labels = read_idx_labels(fashion_mnist_file(folder, "train-labels-idx1-ubyte"));
  GOSSIP_CHECK(std::cmp_equal(labels.size(), images.count),
               "'{}' holds {} images, but there are {} labels.", folder.string(), images.count,
               labels.size());
  const auto pixels = static_cast<std::size_t>(images.rows * images.columns);
  Samples samples{.name = fmt::format("fashion-mnist:{},{}", positive, negative),
                  .dimension = pixels};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != positive && labels[i] != negative) continue;
    for (std::size_t k = 0; k < pixels; ++k) {
      const std::uint8_t pixel = images.pixels[i * pixels + k];
      if (pixel != 0) samples.features.push_back({static_cast<std::uint32_t>(k), pixel / 255.0});
    }
    samples.end_row(labels[i] == positive ? 1.0 : -1.0);
  }
  return samples;
}

std::vector<Samples> split(const Samples& samples, int num_workers, double heterogeneity,
                           std::uint64_t seed) {
  GOSSIP_CHECK(num_workers >= 1 && std::cmp_less_equal(num_workers, samples.size()),
               "'{}' has {} samples: too few for {} workers.", samples.name, samples.size(),
               num_workers);
  GOSSIP_CHECK(heterogeneity >= 0.0 && heterogeneity <= 1.0,
               "The heterogeneity is {}: of samples from a file it is a share from 0 to 1.",
               heterogeneity);
  std::vector<std::size_t> order(samples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  SplitMix64 random(seed);
  shuffle(order, random);
  const auto workers = static_cast<std::size_t>(num_workers);
  const std::size_t part = samples.size() / workers;
  const auto by_label = static_cast<std::size_t>(heterogeneity * static_cast<double>(part));
  // The first ones, as many as are dealt by label, in the order of their labels.
  std::stable_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(by_label * workers),
      [&](std::size_t a, std::size_t b) { return samples.labels[a] < samples.labels[b]; });
  std::vector<Samples> parts;
  for (std::size_t w = 0; w < workers; ++w) {
    Samples own{.name = samples.name, .dimension = samples.dimension};
    for (std::size_t i = 0; i < by_label; ++i) append(own, samples, order[w * by_label + i]);
    const std::size_t rest = by_label * workers + w * (part - by_label);
    for (std::size_t i = 0; i < part - by_label; ++i) append(own, samples, order[rest + i]);
    parts.push_back(std::move(own));
  }
  return parts;
}

}  // namespace gossip::examples
