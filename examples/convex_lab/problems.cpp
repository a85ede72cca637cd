// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/base/suggest.h>

#include "convex_lab/libsvm.h"
#include "convex_lab/logistic_problem.h"
#include "convex_lab/options.h"
#include "convex_lab/quadratic_problem.h"
#include "convex_lab/samples.h"

namespace gossip::examples {
namespace {

QuadraticSize quadratic_size(const LabOptions& options) {
  const double mu = options.mu.value_or(1.0);
  return {.num_workers = options.workers,
          .dimension = options.dimension,
          .mu = mu,
          .lipschitz = options.lipschitz.value_or(options.condition * mu),
          .num_components = options.samples};
}

/// "A,B"; trousers and ankle boots unless given.
std::array<int, 2> classes(std::string_view text) {
  if (text.empty()) return {1, 9};
  constexpr int kMost = 9;
  const std::size_t comma = std::min(text.find(','), text.size());
  const auto first = parse_number<int>(text.substr(0, comma));
  const auto second = parse_number<int>(text.substr(std::min(comma + 1, text.size())));
  const auto is_class = [&](const std::optional<int>& number) {
    return number && *number >= 0 && *number <= kMost;
  };
  GOSSIP_CHECK(is_class(first) && is_class(second),
               "'{}' is not a pair of classes: it must be two numbers from 0 to 9, such as "
               "fashion-mnist:1,9.",
               text);
  return {*first, *second};
}

std::unique_ptr<const ConvexProblem> of_data(const Samples& samples, const LabOptions& options) {
  GOSSIP_CHECK(!options.lipschitz,
               "--L is {}, but the samples of '{}' decide about it: give --mu or --kappa.",
               *options.lipschitz, samples.name);
  constexpr std::size_t kMost = std::size_t{1} << 26U;
  GOSSIP_CHECK(samples.dimension <= kMost / static_cast<std::size_t>(options.workers),
               "'{}' has {} features, and {} workers keep vectors of so many numbers: together "
               "they may have at most {}.",
               samples.name, samples.dimension, options.workers, kMost);
  return std::make_unique<const LogisticProblem>(
      split(samples, options.workers, options.heterogeneity.value_or(0.0), options.seed),
      LogisticProblem::Curvature{.mu = options.mu, .condition = options.condition});
}

std::unique_ptr<const ConvexProblem> synthetic(const LabOptions& options) {
  auto parts = synthetic_samples({.num_workers = options.workers,
                                  .samples_per_worker = options.samples,
                                  .dimension = options.dimension,
                                  .heterogeneity = options.heterogeneity.value_or(1.0),
                                  .seed = options.seed});
  const double mu = options.mu.value_or(1.0);
  return std::make_unique<const LogisticProblem>(
      std::move(parts),
      LogisticProblem::Curvature{.mu = mu,
                                 .lipschitz = options.lipschitz.value_or(options.condition * mu)});
}

}  // namespace

std::unique_ptr<const ConvexProblem> make_problem(const LabOptions& options) {
  const std::string_view name = options.problem;
  const auto colon = name.find(':');
  const std::string_view base = name.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? "" : name.substr(colon + 1);
  if (base == "fashion-mnist") {
    const auto [positive, negative] = classes(rest);
    return of_data(fashion_mnist_pair(options.data, positive, negative), options);
  }
  if (base == "libsvm") {
    GOSSIP_CHECK(!rest.empty(), "The problem 'libsvm' needs a file: libsvm:FILE.");
    return of_data(read_libsvm(rest), options);
  }
  GOSSIP_CHECK(colon == std::string_view::npos || base == "libsvm",
               "The problem '{}' takes nothing after a colon.", base);
  if (base == "quad") return quad(quadratic_size(options));
  if (base == "quadratic") {
    return random_quadratic(quadratic_size(options), options.heterogeneity.value_or(1.0),
                            options.seed);
  }
  if (base == "logistic") return synthetic(options);
  const std::vector<std::string> known{"quad", "quadratic", "logistic", "fashion-mnist", "libsvm"};
  throw Error(unknown_name("problem", base, known));
}

}  // namespace gossip::examples
