// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Lossy compression of vectors for the wire.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <libgossip/base/vector_view.h>

namespace gossip::kernels {

/// Encodes vectors into fewer bytes, deterministically. An object belongs to one rank and is used
/// by one thread at a time; all ranks have equal ones.
class Codec {
 public:
  Codec() = default;
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;
  virtual ~Codec() = default;

  /// With its settings: "top-k of 1 %".
  [[nodiscard]] virtual std::string name() const = 0;

  /// The most bytes that a vector of this type and size is encoded in; a multiple of 8.
  [[nodiscard]] virtual std::size_t max_bytes(const VectorView& shape) const = 0;

  /// Writes Q(values) to `out`, which is aligned to 8 bytes and has room for max_bytes(). Returns
  /// the bytes used, a multiple of 8.
  [[nodiscard]] virtual std::size_t encode(const VectorView& values, std::span<std::byte> out) = 0;

  /// Makes room for vectors of this size, so that encode() allocates nothing.
  virtual void reserve(const VectorView& /*shape*/) {}

  /// Bytes that encode() works in.
  [[nodiscard]] virtual std::size_t memory_bytes() const { return 0; }

  /// \f$ \text{out} \leftarrow \text{out} + w\,Q(v) \f$ from what encode() wrote.
  virtual void add(std::span<const std::byte> encoded, double weight,
                   const VectorView& out) const = 0;
};

/// Keeps the entries of largest absolute value (the first ones of equal ones), 12 or 8 bytes each.
/// NaN counts as larger than infinity, so that a lost run shows in the first message.
/// Memory: 4 bytes for each element of the longest vector.
class TopK final : public Codec {
 public:
  /// The share of a vector's entries that is kept, at least one of each vector. Throws
  /// gossip::Error unless 0 < fraction <= 1.
  explicit TopK(double fraction);

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] std::size_t max_bytes(const VectorView& shape) const override;
  [[nodiscard]] std::size_t encode(const VectorView& values, std::span<std::byte> out) override;
  void reserve(const VectorView& shape) override { indices_.reserve(shape.size); }
  [[nodiscard]] std::size_t memory_bytes() const override {
    return indices_.capacity() * sizeof(std::uint32_t);
  }
  void add(std::span<const std::byte> encoded, double weight, const VectorView& out) const override;

 private:
  [[nodiscard]] std::size_t kept(std::size_t size) const;

  double fraction_;
  std::vector<std::uint32_t> indices_;
};

}  // namespace gossip::kernels
