// SPDX-License-Identifier: Apache-2.0
// The spectral constants against LibTorch's dense solvers, which share no code with ours.
#include <torch/torch.h>

#include <libgossip/topology/factory.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/spectral.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

constexpr double kTolerance = 1e-10;

torch::Tensor tensor_of(const MixingMatrix& matrix) {
  const auto rows = matrix.rows();
  auto result = torch::empty({matrix.size(), matrix.size()}, torch::kFloat64);
  auto access = result.accessor<double, 2>();
  for (int i = 0; i < matrix.size(); ++i) {
    for (int j = 0; j < matrix.size(); ++j) {
      access[i][j] = rows[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
    }
  }
  return result;
}

double norm_without_mean(const torch::Tensor& matrix) {
  return torch::linalg_svdvals(matrix - 1.0 / static_cast<double>(matrix.size(0)))
      .max()
      .item<double>();
}

/// The second largest modulus of an eigenvalue, sorted out of all of them.
double second_modulus(const torch::Tensor& matrix) {
  const auto moduli = std::get<0>(torch::linalg_eigvals(matrix).abs().sort(-1, true));
  return moduli[1].item<double>();
}

void expect_constants(const MixingMatrix& matrix) {
  const SpectralConstants constants = spectral_constants(matrix);
  const auto dense = tensor_of(matrix);

  const double rho = norm_without_mean(dense);
  EXPECT_NEAR(constants.rho, rho, kTolerance);
  EXPECT_NEAR(constants.gap, 1.0 - rho, kTolerance);
  EXPECT_NEAR(constants.p, 1.0 - rho * rho, kTolerance);
  EXPECT_EQ(constants.lambda2.has_value(), torch::equal(dense, dense.t()));
  if (constants.lambda2) {
    const auto eigenvalues = torch::linalg_eigvalsh(dense);
    EXPECT_NEAR(*constants.lambda2, eigenvalues[matrix.size() - 2].item<double>(), kTolerance);
    EXPECT_NEAR(*constants.lambda_min, eigenvalues[0].item<double>(), kTolerance);
  }
  EXPECT_NEAR(constants.lambda2_abs, second_modulus(dense), kTolerance);
}

TEST(SpectralAgainstTorch, FamiliesOfOddPrimeAndOtherSizes) {
  for (const TopologyName& known : topology_names()) {
    const std::string name(known.name.substr(0, known.name.find(':')));
    if (name == "file" || name == "lazy" || name == "one-peer-exponential") continue;
    for (const int size : {2, 3, 5, 6, 7, 11, 12, 13, 15, 24, 31, 36, 53}) {
      if (name == "hypercube" && (size & (size - 1)) != 0) continue;
      SCOPED_TRACE(name + " of " + std::to_string(size));
      expect_constants(make_schedule(name, size, 17, test::hosts_of_size(size)).matrix(0));
    }
  }
}

TEST(SpectralAgainstTorch, DirectedMatricesThatAreNotDoublyStochastic) {
  const Graph graph = Graph::directed(
      7, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 0}, {0, 4}, {2, 6}, {5, 1}});

  expect_constants(Schedule(graph).matrix(0));
}

TEST(SpectralAgainstTorch, ProductsOfSchedules) {
  for (const int size : {2, 3, 5, 6, 7, 12, 31}) {
    for (const Schedule& schedule : {one_peer_exponential(size), random_matching(size, 4)}) {
      auto product = torch::eye(size, torch::kFloat64);
      for (int rounds = 1; rounds <= 7; ++rounds) {
        product = tensor_of(schedule.matrix(rounds - 1)).matmul(product);
        EXPECT_NEAR(product_norm(schedule, rounds), norm_without_mean(product), kTolerance)
            << schedule.name() << " of " << size;
      }
    }
  }
}

TEST(SpectralAgainstTorch, ChiOfGraphsWithoutClosedForm) {
  for (const int size : {3, 5, 6, 7, 12, 13, 31}) {
    for (const Graph& graph : {binary_tree(size), grid(size), symmetric_exponential(size),
                               make_graph("random-regular", size, 2)}) {
      SCOPED_TRACE(graph.name() + " of " + std::to_string(size));
      auto laplacian = torch::zeros({size, size}, torch::kFloat64);
      auto access = laplacian.accessor<double, 2>();
      for (Rank rank = 0; rank < size; ++rank) {
        for (const Rank other : graph.in_neighbors(rank)) {
          access[rank][rank] += 2.0 / graph.num_arcs();
          access[rank][other] -= 2.0 / graph.num_arcs();
        }
      }
      const auto inverse = torch::linalg_pinv(laplacian);
      double resistance = 0.0;
      for (Rank rank = 0; rank < size; ++rank) {
        for (const Rank other : graph.in_neighbors(rank)) {
          resistance = std::max(
              resistance, (inverse[rank][rank] + inverse[other][other] - 2.0 * inverse[rank][other])
                              .item<double>());
        }
      }
      const double chi1 = 1.0 / torch::linalg_eigvalsh(laplacian)[1].item<double>();

      const Chi chi = chi_edge_probability(graph);
      const Chi per_worker = chi_per_worker(graph);

      EXPECT_NEAR(chi.chi1, chi1, 1e-9 * chi1);
      EXPECT_NEAR(chi.chi2, resistance / 2.0, 1e-9 * resistance);
      EXPECT_NEAR(per_worker.chi1, chi1 * 2.0 / size, 1e-9 * chi1);
      EXPECT_NEAR(per_worker.chi2, resistance / size, 1e-9 * resistance);
    }
  }
}

}  // namespace
}  // namespace gossip::topology
