// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// EF-SGD: compressed gradients with error feedback.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// EF-SGD (Stich, Cordonnier, Jaggi 2018; Karimireddy et al. 2019): \f$ M_i = Q(E_i + g_i),\ E_i
/// \leftarrow E_i + g_i - M_i \f$; the local optimizer gets the mean of all M. The error is kept in
/// units of the gradient, so that it stays valid when the learning rate changes. The topology is to
/// be the complete graph with equal weights. Extra state: one vector; on the wire: one compressed
/// gradient a step, to every rank.
class EFSGD final : public Algorithm {
 public:
  EFSGD();
};

}  // namespace gossip::algorithm
