// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/kernels/codec.h>

namespace gossip::kernels {
namespace {

/// What was encoded: the number of entries, their values, their indices.
template <class T>
struct Layout {
  std::size_t count;
  [[nodiscard]] static constexpr std::size_t values() { return sizeof(std::uint64_t); }
  [[nodiscard]] std::size_t indices() const { return values() + count * sizeof(T); }
  [[nodiscard]] std::size_t bytes() const {
    return (indices() + count * sizeof(std::uint32_t) + 7) / 8 * 8;
  }
};

/// A number that orders values by magnitude, and every NaN above infinity.
template <class T>
auto magnitude(T value) {
  using Bits = std::conditional_t<sizeof(T) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;
  constexpr Bits kNaN = std::bit_cast<Bits>(std::numeric_limits<T>::infinity()) + 1;
  return std::min(std::bit_cast<Bits>(std::abs(value)), kNaN);
}

}  // namespace

TopK::TopK(double fraction) : fraction_(fraction) {
  GOSSIP_CHECK(fraction > 0.0 && fraction <= 1.0,
               "The fraction of entries that top-k keeps is {}: it must be above 0 and at most 1.",
               fraction);
}

std::string TopK::name() const { return fmt::format("top-k of {} %", 100.0 * fraction_); }

std::size_t TopK::kept(std::size_t size) const {
  if (size == 0) return 0;
  const auto count = static_cast<std::size_t>(std::lround(fraction_ * static_cast<double>(size)));
  return std::clamp<std::size_t>(count, 1, size);
}

std::size_t TopK::max_bytes(const VectorView& shape) const {
  GOSSIP_CHECK(shape.size <= std::numeric_limits<std::uint32_t>::max(),
               "A vector of {} elements is too long for top-k: at most 2^32 - 1.", shape.size);
  const std::size_t count = kept(shape.size);
  return shape.dtype == Dtype::kFloat32 ? Layout<float>{count}.bytes()
                                        : Layout<double>{count}.bytes();
}

std::size_t TopK::encode(const VectorView& values, std::span<std::byte> out) {
  return visit(values, [&]<class T>(std::span<T> all) {
    const Layout<T> layout{kept(all.size())};
    indices_.resize(all.size());
    std::iota(indices_.begin(), indices_.end(), 0U);
    const auto end = indices_.begin() + static_cast<std::ptrdiff_t>(layout.count);
    if (end != indices_.end()) {
      std::nth_element(indices_.begin(), end, indices_.end(),
                       [&](std::uint32_t a, std::uint32_t b) {
                         const auto left = magnitude(all[a]);
                         const auto right = magnitude(all[b]);
                         return left > right || (left == right && a < b);
                       });
    }
    std::sort(indices_.begin(), end);
    const std::uint64_t count = layout.count;
    std::memcpy(out.data(), &count, sizeof(count));
    auto* kept_values = reinterpret_cast<T*>(out.data() + layout.values());
    for (std::size_t k = 0; k < layout.count; ++k) kept_values[k] = all[indices_[k]];
    if (layout.count > 0) {
      std::memcpy(out.data() + layout.indices(), indices_.data(),
                  layout.count * sizeof(std::uint32_t));
    }
    return layout.bytes();
  });
}

void TopK::add(std::span<const std::byte> encoded, double weight, const VectorView& out) const {
  std::uint64_t count = 0;
  std::memcpy(&count, encoded.data(), sizeof(count));
  visit(out, [&]<class T>(std::span<T> all) {
    const Layout<T> layout{count};
    const auto* values = reinterpret_cast<const T*>(encoded.data() + layout.values());
    const auto* indices = reinterpret_cast<const std::uint32_t*>(encoded.data() + layout.indices());
    for (std::size_t k = 0; k < count; ++k) {
      T& entry = all[indices[k]];
      entry = static_cast<T>(static_cast<double>(entry) + weight * static_cast<double>(values[k]));
    }
  });
}

}  // namespace gossip::kernels
