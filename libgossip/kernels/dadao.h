// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The passes of DADAO over its six vectors x, x~, y, y~, z, z~. Local, blocking and free of
/// allocation; for float and double.

#include <array>
#include <span>

namespace gossip::kernels {

/// Six vectors of the same length that do not overlap, in the order x, x~, y, y~, z, z~.
template <class T>
using SixVectors = std::array<std::span<T>, 6>;

/// A linear map of the six vectors: what model time does to them.
struct DADAOFlow {
  double x = 0.0;                                   ///< of x~ - x, what goes to x and leaves x~
  double z = 0.0;                                   ///< of z~ - z, what goes to z
  double z_tilde = 0.0;                             ///< and what leaves z~
  std::array<double, 6> y{0, 0, 1, 0, 0, 0};        ///< y as a combination of all six
  std::array<double, 6> y_tilde{0, 0, 0, 1, 0, 0};  ///< y~ likewise
};

/// Applies `flow` in one pass: each vector is read and written once. \f$ z\_tilde \cdot z + z \cdot
/// z~ \f$, of the factors and the vectors, is kept to rounding.
template <class T>
void flow(const SixVectors<T>& v, const DADAOFlow& flow);

/// The steps of a gradient event along \f$ q = g - \nu x - \tilde y \f$: \f$ x \leftarrow x -
/// \gamma q,\ \tilde x \leftarrow \tilde x - \tilde\gamma q,\ \tilde y \leftarrow \tilde y + \delta
/// q \f$, in one pass. Returns \f$ |q|^2 \f$, in double precision.
template <class T>
double gradient_event(const SixVectors<T>& v, std::span<const T> gradient, double nu, double gamma,
                      double gamma_tilde, double delta);

}  // namespace gossip::kernels
