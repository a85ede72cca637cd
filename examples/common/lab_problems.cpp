// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <common/lab_options.h>
#include <common/libsvm.h>
#include <common/logistic_problem.h>
#include <common/quadratic_problem.h>
#include <common/samples.h>
#include <string_view>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>

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
  std::array<int, 2> result{1, 9};
  if (text.empty()) return result;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, result[0]);
  const bool has_comma = first.ec == std::errc() && first.ptr != end && *first.ptr == ',';
  const bool is_read = has_comma && std::from_chars(first.ptr + 1, end, result[1]).ptr == end;
  GOSSIP_CHECK(is_read,
               "'{}' is not a pair of classes: it must be two numbers from 0 to 9, such as "
               "fashion-mnist:1,9.",
               text);
  return result;
}

std::unique_ptr<const ConvexProblem> of_data(const Samples& samples, const LabOptions& options) {
  GOSSIP_CHECK(!options.lipschitz,
               "--L is {}, but the samples of '{}' decide about it: give --mu or --kappa.",
               *options.lipschitz, samples.name);
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
