// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include <libgossip/kernels/vector.h>

namespace gossip::kernels {
namespace {

/// Elements of a block that stays in the first-level cache while more sources than one pass takes
/// are added up.
constexpr std::size_t kBlock = 2048;

/// Sources that one pass reads: more would exceed what a core fetches ahead.
constexpr std::size_t kAtOnce = 4;

/// \f$ \text{out}_k = \text{base}_k + \sum_j w_j (s_{jk} - x_k) \f$ over `Count` sources; `out` may
/// be `base` and `base` may be `x`.
template <std::size_t Count, class T>
void add_differences(T* out, const T* base, const T* x, const Source<T>* sources, std::size_t begin,
                     std::size_t n) {
  std::array<const T*, Count> data;
  std::array<T, Count> weights;
  for (std::size_t j = 0; j < Count; ++j) {
    data[j] = sources[j].data + begin;
    weights[j] = static_cast<T>(sources[j].weight);
  }
// The vectors do not overlap, or are the same: no element depends on an earlier one.
#pragma GCC ivdep
  for (std::size_t k = 0; k < n; ++k) {
    const T own = x[k];
    T sum = T{0};
    for (std::size_t j = 0; j < Count; ++j) sum += weights[j] * (data[j][k] - own);
    out[k] = base[k] + sum;
  }
}

/// The same over 1 to kAtOnce sources.
template <class T>
void add_differences(T* out, const T* base, const T* x, std::span<const Source<T>> sources,
                     std::size_t begin, std::size_t n) {
  switch (sources.size()) {
    case 1:
      return add_differences<1>(out, base, x, sources.data(), begin, n);
    case 2:
      return add_differences<2>(out, base, x, sources.data(), begin, n);
    case 3:
      return add_differences<3>(out, base, x, sources.data(), begin, n);
    default:
      return add_differences<kAtOnce>(out, base, x, sources.data(), begin, n);
  }
}

/// \f$ \text{out}_k = \sum_j w_j v_{jk} \f$ over `Count` sources, one of which `out` may be.
template <std::size_t Count, class T>
void combine_some(T* out, const Source<T>* sources, std::size_t n) {
  std::array<const T*, Count> data;
  std::array<T, Count> weights;
  for (std::size_t j = 0; j < Count; ++j) {
    data[j] = sources[j].data;
    weights[j] = static_cast<T>(sources[j].weight);
  }
#pragma GCC ivdep
  for (std::size_t k = 0; k < n; ++k) {
    T sum = weights[0] * data[0][k];
    for (std::size_t j = 1; j < Count; ++j) sum += weights[j] * data[j][k];
    out[k] = sum;
  }
}

/// Any number of sources, block by block: the differences are summed in a buffer that stays in
/// cache.
template <class T>
void mix_many(T* x, std::span<const Source<T>> sources, std::size_t n) {
  alignas(64) std::array<T, kBlock> sum;
  for (std::size_t begin = 0; begin < n; begin += kBlock) {
    const std::size_t count = std::min(kBlock, n - begin);
    T* own = x + begin;
    std::fill_n(sum.data(), count, T{0});
    for (std::size_t first = 0; first < sources.size(); first += kAtOnce) {
      const auto some = sources.subspan(first, std::min(kAtOnce, sources.size() - first));
      add_differences(sum.data(), sum.data(), own, some, begin, count);
    }
    for (std::size_t k = 0; k < count; ++k) own[k] += sum[k];
  }
}

}  // namespace

template <class T>
void mix(std::span<T> x, std::span<const Source<T>> sources) {
  if (sources.empty()) return;
  if (sources.size() <= kAtOnce) {
    add_differences(x.data(), x.data(), x.data(), sources, 0, x.size());
  } else {
    mix_many(x.data(), sources, x.size());
  }
}

template <class T>
void combine(std::span<T> out, std::span<const Source<T>> sources) {
  switch (sources.size()) {
    case 0:
      std::ranges::fill(out, T{0});
      return;
    case 1:
      return combine_some<1>(out.data(), sources.data(), out.size());
    case 2:
      return combine_some<2>(out.data(), sources.data(), out.size());
    case 3:
      return combine_some<3>(out.data(), sources.data(), out.size());
    case kAtOnce:
      return combine_some<kAtOnce>(out.data(), sources.data(), out.size());
    default:
      break;
  }
  for (std::size_t k = 0; k < out.size(); ++k) {
    T sum = T{0};
    for (const Source<T>& source : sources) sum += static_cast<T>(source.weight) * source.data[k];
    out[k] = sum;
  }
}

template <class T>
void add_differences(std::span<T> out, std::span<const T> x, std::span<const Source<T>> sources) {
  for (std::size_t begin = 0; begin < out.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, out.size() - begin);
    T* block = out.data() + begin;
    for (std::size_t first = 0; first < sources.size(); first += kAtOnce) {
      const auto some = sources.subspan(first, std::min(kAtOnce, sources.size() - first));
      add_differences(block, block, x.data() + begin, some, begin, count);
    }
  }
}

template <class T>
void add(std::span<T> out, std::span<const Source<T>> sources) {
  constexpr std::size_t kOthers = kAtOnce - 1;
  std::array<Source<T>, kAtOnce> some;
  for (std::size_t begin = 0; begin < out.size(); begin += kBlock) {
    const std::span<T> block = out.subspan(begin, std::min(kBlock, out.size() - begin));
    for (std::size_t first = 0; first < sources.size(); first += kOthers) {
      const std::size_t count = std::min(kOthers, sources.size() - first);
      some[0] = {block.data(), 1.0};
      for (std::size_t j = 0; j < count; ++j) {
        some[1 + j] = {sources[first + j].data + begin, sources[first + j].weight};
      }
      combine(block, std::span<const Source<T>>(some.data(), 1 + count));
    }
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
void add_to_both(std::span<const T> m, double alpha, std::span<T> x, double beta, std::span<T> y) {
  const T* __restrict in = m.data();
  T* __restrict first = x.data();
  T* __restrict second = y.data();
  const T a = static_cast<T>(alpha);
  const T b = static_cast<T>(beta);
  const std::size_t n = m.size();
  for (std::size_t k = 0; k < n; ++k) {
    first[k] += a * in[k];
    second[k] += b * in[k];
  }
}

template <class T>
void split(std::span<T> u, double alpha, double copies, std::span<T> part) {
  T* __restrict whole = u.data();
  T* __restrict out = part.data();
  const T factor = static_cast<T>(alpha);
  const T times = static_cast<T>(copies);
  const std::size_t n = u.size();
  for (std::size_t k = 0; k < n; ++k) {
    const T taken = factor * whole[k];
    out[k] = taken;
    whole[k] -= times * taken;
  }
}

template <class T>
void divide_out(std::span<T> u, double w, std::span<T> z) {
  T* __restrict numerator = u.data();
  T* __restrict quotient = z.data();
  const T weight = static_cast<T>(w);
  const std::size_t n = u.size();
  for (std::size_t k = 0; k < n; ++k) {
    const T value = numerator[k] / weight;
    quotient[k] = value;
    numerator[k] -= value;
  }
}

template <class T>
void sum(std::span<T> out, std::span<const T> a, std::span<const T> b) {
  T* result = out.data();
  const T* first = a.data();
  const T* second = b.data();
  const std::size_t n = out.size();
#pragma GCC ivdep
  for (std::size_t k = 0; k < n; ++k) result[k] = first[k] + second[k];
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

#define GOSSIP_INSTANTIATE(T)                                                                     \
  template void mix<T>(std::span<T>, std::span<const Source<T>>);                                 \
  template void combine<T>(std::span<T>, std::span<const Source<T>>);                             \
  template void add_differences<T>(std::span<T>, std::span<const T>, std::span<const Source<T>>); \
  template void add<T>(std::span<T>, std::span<const Source<T>>);                                 \
  template void pair_event<T>(std::span<T>, std::span<T>, double);                                \
  template void axpby<T>(double, std::span<const T>, double, std::span<T>);                       \
  template void add_to_both<T>(std::span<const T>, double, std::span<T>, double, std::span<T>);   \
  template void split<T>(std::span<T>, double, double, std::span<T>);                             \
  template void divide_out<T>(std::span<T>, double, std::span<T>);                                \
  template void sum<T>(std::span<T>, std::span<const T>, std::span<const T>);                     \
  template void scale<T>(std::span<T>, double);                                                   \
  template double squared_distance<T>(std::span<const T>, std::span<const T>)

GOSSIP_INSTANTIATE(float);
GOSSIP_INSTANTIATE(double);

#undef GOSSIP_INSTANTIATE

}  // namespace gossip::kernels
