// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string_view>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/SVD>

#include <libgossip/base/error.h>
#include <libgossip/topology/spectral.h>

namespace gossip::topology {
namespace {

/// Above this the smallest non-zero eigenvalue of a Laplacian counts as positive, relative to the
/// largest one.
constexpr double kConnectedTolerance = 1e-12;

Eigen::MatrixXd dense(const MixingMatrix& matrix) {
  Eigen::MatrixXd result = Eigen::MatrixXd::Zero(matrix.size(), matrix.size());
  for (Rank receiver = 0; receiver < matrix.size(); ++receiver) {
    result(receiver, receiver) = matrix.self_weight(receiver);
    for (const Neighbor& sender : matrix.row(receiver))
      result(receiver, sender.rank) = sender.weight;
  }
  return result;
}

/// `matrix` - J.
Eigen::MatrixXd without_mean(const Eigen::MatrixXd& matrix) {
  return matrix.array() - 1.0 / static_cast<double>(matrix.rows());
}

/// Largest singular value.
double norm2(const Eigen::MatrixXd& matrix) {
  return Eigen::BDCSVD<Eigen::MatrixXd>(matrix).singularValues()(0);
}

Eigen::VectorXd symmetric_eigenvalues(const Eigen::MatrixXd& matrix) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix, Eigen::EigenvaluesOnly);
  GOSSIP_ASSERT(solver.info() == Eigen::Success, "the eigen-solver failed on a {} by {} matrix",
                matrix.rows(), matrix.cols());
  return solver.eigenvalues();
}

/// Largest modulus of an eigenvalue.
double spectral_radius(const Eigen::MatrixXd& matrix) {
  const Eigen::EigenSolver<Eigen::MatrixXd> solver(matrix, /*computeEigenvectors=*/false);
  GOSSIP_ASSERT(solver.info() == Eigen::Success, "the eigen-solver failed on a {} by {} matrix",
                matrix.rows(), matrix.cols());
  return solver.eigenvalues().cwiseAbs().maxCoeff();
}

/// Refuses graphs of which `constants` say nothing.
void check_connected(const Graph& graph, std::string_view constants) {
  GOSSIP_CHECK(graph.is_undirected(), "{} need an undirected graph, but '{}' is directed",
               constants, graph.name());
  GOSSIP_CHECK(graph.size() >= 2 && graph.is_strongly_connected(),
               "{} need a connected graph of at least 2 ranks, but '{}' has {} rank{}", constants,
               graph.name(), graph.size(),
               graph.size() < 2 ? "" : "s that its edges do not connect");
}

/// The same intensity on every edge.
std::vector<EdgeIntensity> edges_of(const Graph& graph, double intensity) {
  std::vector<EdgeIntensity> edges;
  for (Rank a = 0; a < graph.size(); ++a) {
    for (const Rank b : graph.out_neighbors(a)) {
      if (a < b) edges.push_back({a, b, intensity});
    }
  }
  return edges;
}

/// The same intensity on every edge, `total` in all.
Chi chi_of_equal_edges(const Graph& graph, double total) {
  check_connected(graph, "chi1 and chi2");
  return chi(graph.size(), edges_of(graph, total / (graph.num_arcs() / 2.0)));
}

Eigen::MatrixXd laplacian_of(int size, const std::vector<EdgeIntensity>& edges) {
  Eigen::MatrixXd laplacian = Eigen::MatrixXd::Zero(size, size);
  for (const EdgeIntensity& edge : edges) {
    GOSSIP_CHECK(edge.a >= 0 && edge.a < size && edge.b >= 0 && edge.b < size && edge.a != edge.b,
                 "Edge {} - {} does not join two of the ranks 0..{}", edge.a, edge.b, size - 1);
    GOSSIP_CHECK(edge.intensity > 0.0 && std::isfinite(edge.intensity),
                 "Edge {} - {} has the intensity {}, but needs a positive number", edge.a, edge.b,
                 edge.intensity);
    laplacian(edge.a, edge.a) += edge.intensity;
    laplacian(edge.b, edge.b) += edge.intensity;
    laplacian(edge.a, edge.b) -= edge.intensity;
    laplacian(edge.b, edge.a) -= edge.intensity;
  }
  return laplacian;
}

/// Of the Laplacian of edges that connect all ranks.
double smallest_positive_eigenvalue(int size, const std::vector<EdgeIntensity>& edges) {
  GOSSIP_CHECK(size >= 2, "chi1 and chi2 need at least 2 ranks, not {}", size);
  const Eigen::VectorXd eigenvalues = symmetric_eigenvalues(laplacian_of(size, edges));
  GOSSIP_CHECK(eigenvalues(1) > kConnectedTolerance * eigenvalues(size - 1),
               "chi1 and chi2 need a connected graph, but these {} edges do not connect all {} "
               "ranks",
               edges.size(), size);
  return eigenvalues(1);
}

/// Between the ends of each edge.
std::vector<double> resistances(int size, const std::vector<EdgeIntensity>& edges) {
  // On vectors of sum 0, (Laplacian + J)^-1 is the pseudo-inverse.
  const Eigen::MatrixXd shifted = laplacian_of(size, edges).array() + 1.0 / size;
  const Eigen::MatrixXd inverse = shifted.llt().solve(Eigen::MatrixXd::Identity(size, size));
  std::vector<double> result;
  for (const EdgeIntensity& edge : edges) {
    result.push_back(inverse(edge.a, edge.a) + inverse(edge.b, edge.b) -
                     2.0 * inverse(edge.a, edge.b));
  }
  return result;
}

}  // namespace

SpectralConstants spectral_constants(const MixingMatrix& matrix) {
  const Eigen::MatrixXd full = dense(matrix);
  const Eigen::MatrixXd difference = without_mean(full);
  SpectralConstants result{};
  if (matrix.is_symmetric()) {
    const Eigen::VectorXd eigenvalues = symmetric_eigenvalues(full);
    const Eigen::Index last = eigenvalues.size() - 1;
    result.lambda2 = last > 0 ? eigenvalues(last - 1) : 0.0;
    result.lambda_min = eigenvalues(0);
    result.rho = symmetric_eigenvalues(difference).cwiseAbs().maxCoeff();
    result.lambda2_abs = result.rho;
  } else {
    result.rho = norm2(difference);
    // J = 1 (1/n)^T turns the eigenvalue 1 into 0 and leaves the others (Brauer).
    result.lambda2_abs = spectral_radius(difference);
  }
  result.gap = 1.0 - result.rho;
  result.p = 1.0 - result.rho * result.rho;
  return result;
}

double product_norm(const Schedule& schedule, std::int64_t rounds) {
  Eigen::MatrixXd product = Eigen::MatrixXd::Identity(schedule.size(), schedule.size());
  for (std::int64_t round = 0; round < rounds; ++round) {
    product = dense(schedule.matrix(round)) * product;
  }
  return norm2(without_mean(product));
}

double contraction_over_period(const Schedule& schedule) {
  GOSSIP_CHECK(schedule.period() > 0,
               "Schedule '{}' never repeats, so it has no contraction over a period; ask for "
               "product_norm over some rounds",
               schedule.name());
  return product_norm(schedule, schedule.period());
}

double mean_square_contraction(const Schedule& schedule, std::int64_t rounds) {
  GOSSIP_CHECK(rounds >= 1, "The mean over {} rounds does not exist; ask for at least 1", rounds);
  Eigen::MatrixXd mean = Eigen::MatrixXd::Zero(schedule.size(), schedule.size());
  Neighborhood own;
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (Rank rank = 0; rank < schedule.size(); ++rank) {
      schedule.neighborhood(round, rank, own);
      own.in.push_back({rank, own.self_weight});
      for (const Neighbor& a : own.in) {
        for (const Neighbor& b : own.in) mean(a.rank, b.rank) += a.weight * b.weight;
      }
    }
  }
  mean /= static_cast<double>(rounds);
  return 1.0 - symmetric_eigenvalues(without_mean(mean)).maxCoeff();
}

Chi chi(int size, const std::vector<EdgeIntensity>& edges) {
  const double lambda2 = smallest_positive_eigenvalue(size, edges);
  return {1.0 / lambda2, std::ranges::max(resistances(size, edges)) / 2.0};
}

std::vector<double> effective_resistances(int size, const std::vector<EdgeIntensity>& edges) {
  static_cast<void>(smallest_positive_eigenvalue(size, edges));
  return resistances(size, edges);
}

Chi chi_per_worker(const Graph& graph) { return chi_of_equal_edges(graph, graph.size() / 2.0); }

Chi chi_edge_probability(const Graph& graph) { return chi_of_equal_edges(graph, 1.0); }

LaplacianSpectrum laplacian_spectrum(const Graph& graph) {
  check_connected(graph, "The eigenvalues of the Laplacian");
  const Eigen::VectorXd eigenvalues =
      symmetric_eigenvalues(laplacian_of(graph.size(), edges_of(graph, 1.0)));
  return {eigenvalues(1), eigenvalues(graph.size() - 1)};
}

}  // namespace gossip::topology
