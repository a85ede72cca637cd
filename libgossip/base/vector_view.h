// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A flat vector of numbers of a type known at run time: what mixing works on.

#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include <libgossip/base/error.h>

namespace gossip {

/// The element types that models are mixed in.
enum class Dtype { kFloat32, kFloat64 };

[[nodiscard]] constexpr std::size_t size_of(Dtype dtype) noexcept {
  return dtype == Dtype::kFloat32 ? sizeof(float) : sizeof(double);
}

/// The types behind them.
template <class T>
concept Element = std::same_as<T, float> || std::same_as<T, double>;

template <Element T>
inline constexpr Dtype kDtypeOf = std::same_as<T, float> ? Dtype::kFloat32 : Dtype::kFloat64;

/// `size` elements of `dtype` in memory that somebody else owns.
struct VectorView {
  Dtype dtype = Dtype::kFloat32;
  void* data = nullptr;
  std::size_t size = 0;

  VectorView() = default;
  VectorView(Dtype type, void* memory, std::size_t count)
      : dtype(type), data(memory), size(count) {}
  template <Element T>
  VectorView(std::span<T> values)  // NOLINT(google-explicit-constructor)
      : dtype(kDtypeOf<T>), data(values.data()), size(values.size()) {}

  [[nodiscard]] std::size_t bytes() const noexcept { return size * size_of(dtype); }

  /// `count` elements from number `begin` on.
  [[nodiscard]] VectorView part(std::size_t begin, std::size_t count) const noexcept {
    return {dtype, static_cast<std::byte*>(data) + begin * size_of(dtype), count};
  }

  /// The elements as `T`, which must be the vector's type.
  template <Element T>
  [[nodiscard]] std::span<T> as() const {
    GOSSIP_ASSERT(dtype == kDtypeOf<T>, "a vector of one element type was read as another");
    return {static_cast<T*>(data), size};
  }
};

/// A part of a vector, from element `offset` on, whose values lie elsewhere.
struct VectorPiece {
  std::size_t vector;  ///< which of several
  std::size_t offset;
  VectorView values;
};

/// Calls `visitor` with the vector's elements as std::span<float> or std::span<double>.
template <class Visitor>
decltype(auto) visit(const VectorView& vector, Visitor&& visitor) {
  if (vector.dtype == Dtype::kFloat32) return std::forward<Visitor>(visitor)(vector.as<float>());
  return std::forward<Visitor>(visitor)(vector.as<double>());
}

}  // namespace gossip
