// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Several vectors in one message.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <libgossip/base/vector_view.h>

namespace gossip {

/// Where the vectors of a list lie in a message: one after the other, each at a multiple of 64
/// bytes. Immutable.
class MessageLayout {
 public:
  explicit MessageLayout(const std::vector<VectorView>& vectors);

  /// Of a whole message.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// Makes `memory` large enough, with zeros if it grows, and returns where in it a message is to
  /// lie: at a multiple of 64 bytes.
  [[nodiscard]] std::span<std::byte> make_room(std::vector<std::byte>& memory) const;

  /// Vector number `index` of a message. A view of a received one is only to be read.
  [[nodiscard]] VectorView view(std::span<const std::byte> message, std::size_t index) const;

  /// Copies the vectors, of the types and sizes of the layout from number `first` on, into a
  /// message.
  void write(std::span<std::byte> message, const std::vector<VectorView>& vectors,
             std::size_t first = 0) const;

  /// Types and sizes in one line, to compare between ranks.
  [[nodiscard]] std::string description() const;

 private:
  std::vector<VectorView> shapes_;  // data is not used
  std::vector<std::size_t> offsets_;
  std::size_t bytes_ = 0;
};

}  // namespace gossip
