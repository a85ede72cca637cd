// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>

#include <Eigen/Dense>

#include <libgossip/base/error.h>
#include <libgossip/topology/second_moment.h>

namespace gossip::topology {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

/// The Laplacian's modes other than the mean, and the edges in their terms.
struct Modes {
  Vector lambda;     ///< [n - 1] eigenvalues
  Matrix edges;      ///< [m][n - 1]: e_a - e_b of each edge, in modes
  Vector intensity;  ///< [m]
};

Matrix laplacian_of(int size, const std::vector<EdgeIntensity>& edges) {
  Matrix laplacian = Matrix::Zero(size, size);
  for (const EdgeIntensity& edge : edges) {
    laplacian(edge.a, edge.a) += edge.intensity;
    laplacian(edge.b, edge.b) += edge.intensity;
    laplacian(edge.a, edge.b) -= edge.intensity;
    laplacian(edge.b, edge.a) -= edge.intensity;
  }
  return laplacian;
}

Modes modes_of(int size, const std::vector<EdgeIntensity>& edges) {
  (void)chi(size, edges);  // throws unless they connect all ranks
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(laplacian_of(size, edges));
  const Matrix vectors = solver.eigenvectors().rightCols(size - 1);
  const auto count = static_cast<Eigen::Index>(edges.size());
  Modes modes{solver.eigenvalues().tail(size - 1), Matrix(count, size - 1), Vector(count)};
  for (Eigen::Index e = 0; e < count; ++e) {
    const EdgeIntensity& edge = edges[static_cast<std::size_t>(e)];
    modes.edges.row(e) = vectors.row(edge.a) - vectors.row(edge.b);
    modes.intensity(e) = edge.intensity;
  }
  return modes;
}

/// The generator M of the mean of (x, x~) in the mode of eigenvalue `lambda`.
Eigen::Matrix2d mean_generator(const PairDynamics& d, double lambda) {
  return Eigen::Matrix2d{{-d.eta - d.alpha * lambda, d.eta},
                         {d.eta - d.alpha_tilde * lambda, -d.eta}};
}

/// The (x, x) entry of \f$ \int_0^\infty e^{-s t} e^{M_k t} u v^T e^{M_l^T t} dt \f$ for the 2 by 2
/// matrix `source` = u v^T.
double resolvent_entry(const PairDynamics& d, double s, double lambda_k, double lambda_l,
                       const Eigen::Matrix2d& source) {
  // Without flow x does not hear of x~, and x~ never forgets.
  if (d.eta == 0.0) return source(0, 0) / (s + d.alpha * (lambda_k + lambda_l));
  const Eigen::Matrix2d left = mean_generator(d, lambda_k);
  const Eigen::Matrix2d right = mean_generator(d, lambda_l);
  Eigen::Matrix4d system = s * Eigen::Matrix4d::Identity();
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      for (int h = 0; h < 2; ++h) {
        system(2 * i + j, 2 * h + j) -= left(i, h);
        system(2 * i + j, 2 * i + h) -= right(j, h);
      }
    }
  }
  const Eigen::Vector4d image(source(0, 0), source(0, 1), source(1, 0), source(1, 1));
  return system.partialPivLu().solve(image)(0);
}

/// What one jump puts into the second moments of a mode pair.
Eigen::Matrix2d jump_source(const PairDynamics& d) {
  const Eigen::Vector2d jump(d.alpha, d.alpha_tilde);
  return jump * jump.transpose();
}

/// \f$ T(s) \f$, symmetrized by the roots of the intensities: how much an event's expected square
/// difference causes of later ones, discounted by s. s is an eigenvalue of the second moments'
/// operator when T(s) has the eigenvalue 1, because only the jumps couple the modes.
Matrix renewal_matrix(const Modes& modes, const PairDynamics& d, double s) {
  const Eigen::Index count = modes.lambda.size();
  const Eigen::Index pairs = count * (count + 1) / 2;
  const Eigen::Matrix2d source = jump_source(d);
  Matrix products(modes.edges.rows(), pairs);
  Vector weights(pairs);
  Eigen::Index pair = 0;
  for (Eigen::Index k = 0; k < count; ++k) {
    for (Eigen::Index l = k; l < count; ++l, ++pair) {
      products.col(pair) = modes.edges.col(k).cwiseProduct(modes.edges.col(l));
      const double once = resolvent_entry(d, s, modes.lambda(k), modes.lambda(l), source);
      weights(pair) = k == l ? once : 2.0 * once;
    }
  }
  const Vector roots = modes.intensity.cwiseSqrt();
  products = roots.asDiagonal() * products;
  return products * weights.asDiagonal() * products.transpose();
}

/// Growth rate of the slowest second moment when there were no more events than the mean knows of.
double slowest_mean(const Modes& modes, const PairDynamics& d) {
  if (d.eta == 0.0) return -2.0 * d.alpha * modes.lambda(0);
  double slowest = -std::numeric_limits<double>::infinity();
  for (const double lambda : modes.lambda) {
    const auto roots = mean_generator(d, lambda).eigenvalues();
    slowest = std::max({slowest, 2.0 * roots(0).real(), 2.0 * roots(1).real()});
  }
  return slowest;
}

/// 1 / (largest eigenvalue of T(s)) - 1: rises through 0 at the rightmost eigenvalue.
double excess_at(const Modes& modes, const PairDynamics& d, double s) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(renewal_matrix(modes, d, s),
                                                     Eigen::EigenvaluesOnly);
  return 1.0 / solver.eigenvalues()(solver.eigenvalues().size() - 1) - 1.0;
}

/// The root of excess_at() right of `low`, where it is -1: false position with the Illinois rule.
double rightmost_eigenvalue(const Modes& modes, const PairDynamics& d) {
  double low = slowest_mean(modes, d);
  double f_low = -1.0;
  double high = low + std::max(std::abs(low), 1e-3);
  double f_high = excess_at(modes, d, high);
  for (; f_high <= 0.0; f_high = excess_at(modes, d, high)) {
    low = high;
    f_low = f_high;
    high += 2.0 * (high - slowest_mean(modes, d));
  }
  constexpr double kTolerance = 1e-13;
  for (int k = 0; k < 200 && high - low > kTolerance * (1.0 + std::abs(low)); ++k) {
    const double middle = (low * f_high - high * f_low) / (f_high - f_low);
    const double f_middle = excess_at(modes, d, middle);
    if (std::abs(f_middle) < kTolerance) return middle;
    if (f_middle > 0.0) {
      high = middle;
      f_high = f_middle;
      f_low /= 2.0;
    } else {
      low = middle;
      f_low = f_middle;
      f_high /= 2.0;
    }
  }
  return (low + high) / 2.0;
}

/// The second moments of (x, x~) of all ranks.
struct Moments {
  Matrix xx;
  Matrix xt;  ///< E x x~^T
  Matrix tt;
};

/// dS/dt.
Moments derivative(const Moments& s, const Matrix& laplacian,
                   const std::vector<EdgeIntensity>& edges, const PairDynamics& d) {
  const Matrix lx = laplacian * s.xx;
  const Matrix lt = laplacian * s.xt;
  const Matrix both = d.eta * (s.xt + s.xt.transpose());
  Moments rate{both - 2.0 * d.eta * s.xx - d.alpha * (lx + lx.transpose()),
               d.eta * (s.xx + s.tt - 2.0 * s.xt) - d.alpha * lt - d.alpha_tilde * lx.transpose(),
               both - 2.0 * d.eta * s.tt - d.alpha_tilde * (lt + lt.transpose())};
  for (const EdgeIntensity& edge : edges) {
    const double square = s.xx(edge.a, edge.a) + s.xx(edge.b, edge.b) - 2.0 * s.xx(edge.a, edge.b);
    const auto add = [&](Matrix& block, double factor) {
      const double jump = factor * edge.intensity * square;
      block(edge.a, edge.a) += jump;
      block(edge.b, edge.b) += jump;
      block(edge.a, edge.b) -= jump;
      block(edge.b, edge.a) -= jump;
    };
    add(rate.xx, d.alpha * d.alpha);
    add(rate.xt, d.alpha * d.alpha_tilde);
    add(rate.tt, d.alpha_tilde * d.alpha_tilde);
  }
  return rate;
}

/// \f$ \pi S \pi \f$: keeps rounding from piling up in the mean, which never decays.
void remove_mean(Matrix& s) {
  const Eigen::RowVectorXd columns = s.colwise().mean();
  s.rowwise() -= columns;
  const Vector rows = s.rowwise().mean();
  s.colwise() -= rows;
}

/// S after `elapsed`, by the Taylor series of the exponential in steps that it converges fast on.
void advance(Moments& s, double elapsed, const Matrix& laplacian,
             const std::vector<EdgeIntensity>& edges, const PairDynamics& d) {
  const double norm =
      4.0 * d.eta + 2.0 * (d.alpha + d.alpha_tilde) * laplacian.diagonal().maxCoeff();
  const int steps = std::max(1, static_cast<int>(std::ceil(elapsed * norm)));
  const double h = elapsed / steps;
  constexpr int kOrder = 16;
  for (int step = 0; step < steps; ++step) {
    Moments term = s;
    for (int k = 1; k <= kOrder; ++k) {
      const Moments next = derivative(term, laplacian, edges, d);
      term = {h / k * next.xx, h / k * next.xt, h / k * next.tt};
      s.xx += term.xx;
      s.xt += term.xt;
      s.tt += term.tt;
    }
    for (Matrix* block : {&s.xx, &s.xt, &s.tt}) remove_mean(*block);
  }
}

}  // namespace

std::vector<EdgeIntensity> equal_intensities(const Graph& graph, double rate) {
  GOSSIP_CHECK(graph.is_undirected(), "Pair events need an undirected graph, but '{}' is directed",
               graph.name());
  GOSSIP_CHECK(rate > 0.0 && std::isfinite(rate),
               "The rate of pair events is {} per rank: it must be a positive number", rate);
  const double intensity = rate * graph.size() / graph.num_arcs();
  std::vector<EdgeIntensity> edges;
  for (Rank a = 0; a < graph.size(); ++a) {
    for (const Rank b : graph.out_neighbors(a)) {
      if (a < b) edges.push_back({a, b, intensity});
    }
  }
  return edges;
}

double mean_square_rate(int size, const std::vector<EdgeIntensity>& edges,
                        const PairDynamics& dynamics) {
  return -rightmost_eigenvalue(modes_of(size, edges), dynamics);
}

std::vector<double> mean_square_distances(std::span<const double> start,
                                          const std::vector<EdgeIntensity>& edges,
                                          const PairDynamics& dynamics,
                                          std::span<const double> times) {
  const int size = static_cast<int>(start.size());
  (void)chi(size, edges);
  const Matrix laplacian = laplacian_of(size, edges);
  Vector x = Eigen::Map<const Vector>(start.data(), size);
  x.array() -= x.mean();
  const Matrix square = x * x.transpose();
  Moments moments{square, square, square};
  std::vector<double> result;
  double now = 0.0;
  for (const double time : times) {
    GOSSIP_CHECK(time >= now, "Time {} comes after time {}: times must not decrease, from 0 on",
                 time, now);
    if (time > now) advance(moments, time - now, laplacian, edges, dynamics);
    now = time;
    result.push_back(moments.xx.trace());
  }
  return result;
}

double stationary_noise(int size, const std::vector<EdgeIntensity>& edges,
                        const PairDynamics& dynamics) {
  const Modes modes = modes_of(size, edges);
  GOSSIP_CHECK(rightmost_eigenvalue(modes, dynamics) < 0.0,
               "There is no stationary distance: the second moments grow");
  // Noise at each rank alone: the identity in modes, so that only k = l is excited.
  const Eigen::Matrix2d noise = Eigen::Matrix2d::Ones();
  const Eigen::Matrix2d jump = jump_source(dynamics);
  const Eigen::Index count = modes.lambda.size();
  Vector of_noise(count);
  Vector of_jump(count);
  for (Eigen::Index k = 0; k < count; ++k) {
    const double lambda = modes.lambda(k);
    of_noise(k) = resolvent_entry(dynamics, 0.0, lambda, lambda, noise);
    of_jump(k) = resolvent_entry(dynamics, 0.0, lambda, lambda, jump);
  }
  // q: the expected square differences over the edges, times the roots of the intensities.
  const Vector roots = modes.intensity.cwiseSqrt();
  const Matrix squares = modes.edges.cwiseAbs2();
  const Vector direct = roots.cwiseProduct(squares * of_noise);
  const Matrix renewal = renewal_matrix(modes, dynamics, 0.0);
  const Matrix system = Matrix::Identity(renewal.rows(), renewal.cols()) - renewal;
  const Vector q = system.llt().solve(direct);
  return (of_noise.sum() + roots.cwiseProduct(q).dot(squares * of_jump)) / size;
}

}  // namespace gossip::topology
