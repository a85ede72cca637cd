// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>

#include <libgossip/kernels/finite.h>

namespace gossip::kernels {

/// Zero times an element is zero for numbers only. Several sums, so that it takes vectors.
template <class T>
bool is_finite(std::span<const T> x) {
  constexpr std::size_t kSums = 16;
  std::array<T, kSums> sums{};
  std::size_t k = 0;
  for (; k + kSums <= x.size(); k += kSums) {
    for (std::size_t j = 0; j < kSums; ++j) sums[j] += T{0} * x[k + j];
  }
  T sum{0};
  for (; k < x.size(); ++k) sum += T{0} * x[k];
  for (const T one : sums) sum += one;
  return sum == T{0};
}

template bool is_finite<float>(std::span<const float>);
template bool is_finite<double>(std::span<const double>);

}  // namespace gossip::kernels
