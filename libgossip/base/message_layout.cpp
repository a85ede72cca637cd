// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

#include <libgossip/base/message_layout.h>

namespace gossip {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

MessageLayout::MessageLayout(const std::vector<VectorView>& vectors) : shapes_(vectors) {
  for (const VectorView& vector : vectors) {
    offsets_.push_back(bytes_);
    bytes_ += (vector.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  }
}

std::span<std::byte> MessageLayout::make_room(std::vector<std::byte>& memory) const {
  memory.resize(bytes_ + kAlignment);
  const auto misalignment = reinterpret_cast<std::uintptr_t>(memory.data()) % kAlignment;
  return std::span(memory).subspan((kAlignment - misalignment) % kAlignment, bytes_);
}

VectorView MessageLayout::view(std::span<const std::byte> message, std::size_t index) const {
  auto* start = const_cast<std::byte*>(message.data()) + offsets_[index];
  return {shapes_[index].dtype, start, shapes_[index].size};
}

void MessageLayout::write(std::span<std::byte> message, const std::vector<VectorView>& vectors,
                          std::size_t first) const {
  for (std::size_t v = 0; v < vectors.size(); ++v) {
    if (vectors[v].size == 0) continue;
    std::memcpy(message.data() + offsets_[first + v], vectors[v].data, vectors[v].bytes());
  }
}

std::string MessageLayout::description() const {
  std::string text = fmt::format("{} vectors:", shapes_.size());
  for (const VectorView& shape : shapes_) {
    text += fmt::format(" {} of {} bytes", shape.size, size_of(shape.dtype));
  }
  return text;
}

}  // namespace gossip
