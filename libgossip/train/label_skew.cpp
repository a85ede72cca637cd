// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/train/label_skew.h>

namespace gossip::train {
namespace {

/// Below, a mixture may be of no class: the logarithms of all shares would be too large.
constexpr double kLeastConcentration = 1e-300;

double standard_normal(SplitMix64& random) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - random.unit()));
  return radius * std::cos(2.0 * std::numbers::pi * random.unit());
}

/// The logarithm of a gamma-distributed number (Marsaglia and Tsang 2000), which for small shapes
/// may be too small for a double itself.
double log_gamma_distributed(SplitMix64& random, double shape) {
  if (shape < 1.0) {
    const double larger = log_gamma_distributed(random, shape + 1.0);
    return larger + std::log(1.0 - random.unit()) / shape;
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = standard_normal(random);
    const double v = std::pow(1.0 + c * x, 3);
    if (v <= 0.0) continue;
    if (std::log(1.0 - random.unit()) < 0.5 * x * x + d - d * v + d * std::log(v)) {
      return std::log(d) + std::log(v);
    }
  }
}

std::vector<double> dirichlet(SplitMix64& random, std::size_t size, double concentration) {
  std::vector<double> shares(size);
  for (double& share : shares) share = log_gamma_distributed(random, concentration);
  const double largest = *std::ranges::max_element(shares);
  for (double& share : shares) share = std::exp(share - largest);
  return shares;  // up to a factor
}

/// The sample numbers of each class that there is, shuffled; classes by their labels.
std::vector<std::vector<std::int64_t>> samples_by_class(std::span<const std::int64_t> labels,
                                                        SplitMix64& random) {
  std::vector<std::int64_t> classes(labels.begin(), labels.end());
  std::ranges::sort(classes);
  classes.erase(std::ranges::unique(classes).begin(), classes.end());
  std::vector<std::vector<std::int64_t>> samples(classes.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    GOSSIP_CHECK(labels[i] >= 0, "The label of sample {} is {}: it must be at least 0.", i,
                 labels[i]);
    const auto place = std::ranges::lower_bound(classes, labels[i]) - classes.begin();
    samples[static_cast<std::size_t>(place)].push_back(static_cast<std::int64_t>(i));
  }
  for (std::vector<std::int64_t>& one : samples) {
    for (std::size_t left = one.size(); left > 1; --left) {
      std::swap(one[left - 1], one[random.below(left)]);
    }
  }
  return samples;
}

/// A class that has samples left, by the mixture; any where the mixture has none of those.
std::size_t draw(const std::vector<double>& mixture,
                 const std::vector<std::vector<std::int64_t>>& left, SplitMix64& random) {
  double total = 0.0;
  for (std::size_t c = 0; c < left.size(); ++c) total += left[c].empty() ? 0.0 : mixture[c];
  double place = random.unit() * total;
  std::size_t last = left.size();
  for (std::size_t c = 0; c < left.size(); ++c) {
    if (left[c].empty()) continue;
    last = c;
    place -= mixture[c];
    if (place < 0.0) break;
  }
  return last;
}

}  // namespace

std::vector<std::vector<std::int64_t>> label_skewed_parts(std::span<const std::int64_t> labels,
                                                          int parts, double concentration,
                                                          std::uint64_t seed) {
  GOSSIP_CHECK(std::isfinite(concentration) && concentration >= kLeastConcentration,
               "The concentration of classes is {}: it must be a number of at least {}.",
               concentration, kLeastConcentration);
  GOSSIP_CHECK(parts >= 1 && std::cmp_greater_equal(labels.size(), parts),
               "{} samples cannot be cut into {} parts.", labels.size(), parts);
  SplitMix64 random(seed);
  std::vector<std::vector<std::int64_t>> left = samples_by_class(labels, random);
  std::vector<std::vector<double>> mixtures;
  for (int part = 0; part < parts; ++part) {
    mixtures.push_back(dirichlet(random, left.size(), concentration));
  }
  std::vector<std::vector<std::int64_t>> result(static_cast<std::size_t>(parts));
  const std::size_t each = labels.size() / static_cast<std::size_t>(parts);
  for (std::size_t i = 0; i < each; ++i) {
    for (std::size_t part = 0; part < result.size(); ++part) {
      std::vector<std::int64_t>& source = left[draw(mixtures[part], left, random)];
      result[part].push_back(source.back());
      source.pop_back();
    }
  }
  return result;
}

}  // namespace gossip::train
