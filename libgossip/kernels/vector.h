// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Fused passes over flat vectors. All are local, blocking and free of allocation; all exist for
/// float and double. Vectors of one call have the same length and do not overlap.

#include <cstddef>
#include <span>

namespace gossip::kernels {

/// One neighbor's vector in a weighted mix.
template <class T>
struct Source {
  const T* data;
  double weight;
};

/// \f$ x \leftarrow x + \sum_j w_j (x_j - x) \f$, in one pass over all vectors. The difference form
/// leaves equal vectors exactly as they are, whatever the rounding of the weights. Sums in the
/// order of `sources`.
template <class T>
void mix(std::span<T> x, std::span<const Source<T>> sources);

/// \f$ \text{out} \leftarrow \sum_j w_j v_j \f$; `out` may be one of the sources. Sums in their
/// order; up to four in one pass over the memory.
template <class T>
void combine(std::span<T> out, std::span<const Source<T>> sources);

/// \f$ \text{out} \leftarrow \text{out} + \sum_j w_j (x_j - x) \f$, in one pass: what mix() would
/// change of x, which stays as it is.
template <class T>
void add_differences(std::span<T> out, std::span<const T> x, std::span<const Source<T>> sources);

/// \f$ \text{out} \leftarrow \text{out} + \sum_j w_j v_j \f$, in one pass.
template <class T>
void add(std::span<T> out, std::span<const Source<T>> sources);

/// The pair event: \f$ a \leftarrow a - \alpha m,\ b \leftarrow b + \alpha m \f$ with the same \f$
/// m = a - b \f$, so that the sum is kept to rounding. Reads and writes both vectors once; alpha =
/// 1/2 makes both the average.
template <class T>
void pair_event(std::span<T> a, std::span<T> b, double alpha);

/// \f$ y \leftarrow \alpha x + \beta y \f$.
template <class T>
void axpby(double alpha, std::span<const T> x, double beta, std::span<T> y);

/// \f$ x \leftarrow x + \alpha m,\ y \leftarrow y + \beta m \f$, in one pass over the three
/// vectors.
template <class T>
void add_to_both(std::span<const T> m, double alpha, std::span<T> x, double beta, std::span<T> y);

/// \f$ part \leftarrow \alpha u,\ u \leftarrow u - c \cdot part \f$: takes `copies` equal parts off
/// u in one pass. What is kept and the parts add up to the old u, to the rounding of one operation.
template <class T>
void split(std::span<T> u, double alpha, double copies, std::span<T> part);

/// \f$ z \leftarrow u / w,\ u \leftarrow u - z \f$ in one pass. For 1/2 <= w <= 2 the difference
/// is exact: z + u gives the old u back to the last bit.
template <class T>
void divide_out(std::span<T> u, double w, std::span<T> z);

/// \f$ \text{out} \leftarrow a + b \f$.
template <class T>
void sum(std::span<T> out, std::span<const T> a, std::span<const T> b);

/// \f$ x \leftarrow \alpha x \f$.
template <class T>
void scale(std::span<T> x, double alpha);

/// \f$ \sum_k (a_k - b_k)^2 \f$, accumulated in double precision.
template <class T>
[[nodiscard]] double squared_distance(std::span<const T> a, std::span<const T> b);

}  // namespace gossip::kernels
