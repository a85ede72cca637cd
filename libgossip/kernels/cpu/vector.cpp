// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/kernels/vector.h>

namespace gossip::kernels {
namespace {

/// Elements of a block that stays in the first-level cache while more sources than one pass takes
/// are added to it.
constexpr std::size_t kBlock = 2048;

template <class T>
void mix_one(T* __restrict x, const T* __restrict a, T wa, std::size_t n) {
  for (std::size_t k = 0; k < n; ++k) x[k] += wa * (a[k] - x[k]);
}

template <class T>
void mix_two(T* __restrict x, const T* __restrict a, T wa, const T* __restrict b, T wb,
             std::size_t n) {
  for (std::size_t k = 0; k < n; ++k) {
    const T own = x[k];
    x[k] = own + (wa * (a[k] - own) + wb * (b[k] - own));
  }
}

/// Any number of sources, block by block: the differences are summed in a buffer that stays in
/// cache.
template <class T>
void mix_many(T* __restrict x, std::span<const Source<T>> sources, std::size_t n) {
  alignas(64) T sum[kBlock];
  for (std::size_t begin = 0; begin < n; begin += kBlock) {
    const std::size_t count = std::min(kBlock, n - begin);
    T* __restrict own = x + begin;
    std::fill_n(sum, count, T{0});
    for (const Source<T>& source : sources) {
      const T* __restrict data = source.data + begin;
      const T weight = static_cast<T>(source.weight);
      for (std::size_t k = 0; k < count; ++k) sum[k] += weight * (data[k] - own[k]);
    }
    for (std::size_t k = 0; k < count; ++k) own[k] += sum[k];
  }
}

}  // namespace

template <class T>
void mix(std::span<T> x, std::span<const Source<T>> sources) {
  const auto weight = [&](std::size_t i) { return static_cast<T>(sources[i].weight); };
  if (sources.empty()) return;
  if (sources.size() == 1) {
    mix_one(x.data(), sources[0].data, weight(0), x.size());
  } else if (sources.size() == 2) {
    mix_two(x.data(), sources[0].data, weight(0), sources[1].data, weight(1), x.size());
  } else {
    mix_many(x.data(), sources, x.size());
  }
}

template <class T>
void pair_event(std::span<T> a, std::span<T> b, double alpha) {
  T* __restrict left = a.data();
  T* __restrict right = b.data();
  const T factor = static_cast<T>(alpha);
  const std::size_t n = a.size();
  for (std::size_t k = 0; k < n; ++k) {
    const T moved = factor * (left[k] - right[k]);
    left[k] -= moved;
    right[k] += moved;
  }
}

template <class T>
void axpby(double alpha, std::span<const T> x, double beta, std::span<T> y) {
  const T* __restrict in = x.data();
  T* __restrict out = y.data();
  const T a = static_cast<T>(alpha);
  const T b = static_cast<T>(beta);
  const std::size_t n = y.size();
  for (std::size_t k = 0; k < n; ++k) out[k] = a * in[k] + b * out[k];
}

template <class T>
void scale(std::span<T> x, double alpha) {
  const T factor = static_cast<T>(alpha);
  for (T& value : x) value *= factor;
}

template <class T>
double squared_distance(std::span<const T> a, std::span<const T> b) {
  double sum = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double difference = static_cast<double>(a[k]) - static_cast<double>(b[k]);
    sum += difference * difference;
  }
  return sum;
}

#define GOSSIP_INSTANTIATE(T)                                               \
  template void mix<T>(std::span<T>, std::span<const Source<T>>);           \
  template void pair_event<T>(std::span<T>, std::span<T>, double);          \
  template void axpby<T>(double, std::span<const T>, double, std::span<T>); \
  template void scale<T>(std::span<T>, double);                             \
  template double squared_distance<T>(std::span<const T>, std::span<const T>)

GOSSIP_INSTANTIATE(float);
GOSSIP_INSTANTIATE(double);

#undef GOSSIP_INSTANTIATE

}  // namespace gossip::kernels
