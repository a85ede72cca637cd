// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Asynchronous decentralized SGD: pairs of workers average at any time.

#include <libgossip/algorithm/pair_algorithm.h>

namespace gossip::algorithm {

/// AD-PSGD (Lian et al. 2018, arXiv 1710.06952), without gradients the randomized gossip of Boyd et
/// al. (2006). An event of i and j: \f$ x_i \leftarrow x_i - \frac12 m,\ x_j \leftarrow x_j +
/// \frac12 m,\ m = x_i - x_j \f$, so both become their average; model time changes nothing.
///
/// With intensities \f$ \lambda_e \f$, \f$ E|\pi x_t|^2 \le |\pi x_0|^2 e^{-t / (2 \chi_1)} \f$,
/// \f$ \pi = I - J \f$ (topology::Chi). Extra state: none. On the wire: one model each way an
/// event.
class ADPSGD final : public PairAlgorithm {
 public:
  [[nodiscard]] std::string_view name() const override { return "ad-psgd"; }
  [[nodiscard]] int num_vectors() const override { return 1; }
  void flow(State state, double elapsed) const override;
  void jump(State state, const VectorView& difference, double sign) const override;
};

}  // namespace gossip::algorithm
