// SPDX-License-Identifier: Apache-2.0
#include <new>

#include <libgossip/transport/payload_mover.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kAlignment = 64;

/// Memory of this process alone.
class PrivateSlots final : public SlotMemory {
 public:
  PrivateSlots(int count, std::size_t capacity)
      : stride_((capacity + kAlignment - 1) / kAlignment * kAlignment),
        bytes_(stride_ * static_cast<std::size_t>(count)),
        start_(new (std::align_val_t{kAlignment}) std::byte[bytes_ + 1]) {}

  [[nodiscard]] std::span<std::byte> slot(int index) override {
    return {start_.get() + stride_ * static_cast<std::size_t>(index), stride_};
  }
  [[nodiscard]] std::size_t bytes() const override { return bytes_; }

 private:
  struct Delete {
    void operator()(std::byte* memory) const {
      ::operator delete[](memory, std::align_val_t{kAlignment});
    }
  };
  std::size_t stride_;
  std::size_t bytes_;
  std::unique_ptr<std::byte[], Delete> start_;
};

}  // namespace

std::unique_ptr<SlotMemory> make_private_slots(int count, std::size_t capacity) {
  return std::make_unique<PrivateSlots>(count, capacity);
}

}  // namespace gossip::transport
