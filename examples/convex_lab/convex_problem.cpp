// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/convex_problem.h"

#include <cmath>

#include <libgossip/base/error.h>

namespace gossip::examples {

ConvexProblem::ConvexProblem(int num_workers, std::size_t dimension)
    : num_workers_(num_workers), dimension_(dimension) {
  GOSSIP_CHECK(num_workers >= 1, "The problem is for {} workers: it needs at least 1.",
               num_workers);
  GOSSIP_CHECK(dimension >= 1, "The problem has no unknowns: it needs at least 1.");
}

void ConvexProblem::set_curvature(double mu, double lipschitz) {
  check_curvature(mu, lipschitz);
  mu_ = mu;
  lipschitz_ = lipschitz;
}

void ConvexProblem::dual_gradient(Rank /*worker*/, std::span<const double> /*y*/,
                                  std::span<double> /*result*/) const {
  throw Error(
      "This problem has no dual gradient in closed form: a dual method needs one of the quadratic "
      "problems.");
}

void check_curvature(double mu, double lipschitz) {
  GOSSIP_CHECK(std::isfinite(mu) && mu > 0.0, "mu is {}: strong convexity takes a positive number.",
               mu);
  GOSSIP_CHECK(std::isfinite(lipschitz) && lipschitz >= mu,
               "mu is {} and L is {}: L must be a number of at least mu.", mu, lipschitz);
}

}  // namespace gossip::examples
