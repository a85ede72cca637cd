// SPDX-License-Identifier: Apache-2.0
// See stress.h.
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "transport/stress.h"

namespace gossip::test {
namespace {

using namespace transport;

/// Tells of a message when half of its payload is there, and gets to the other half too late for
/// every reader: that half of the slot is still as an earlier message left it.
class EarlyChannel final : public Channel {
 public:
  explicit EarlyChannel(std::unique_ptr<Channel> inner)
      : Channel(inner->options(), 0),
        inner_(std::move(inner)),
        draft_(options().capacity_bytes / sizeof(std::uint64_t)) {}

  void commit(const Header& header) override {
    std::memcpy(slot_.data(), draft_.data(), header.bytes / 2);
    inner_->commit(header);
  }
  [[nodiscard]] std::optional<Message> try_next(Rank from) override {
    return inner_->try_next(from);
  }
  [[nodiscard]] std::optional<Message> latest(Rank from) override { return inner_->latest(from); }
  [[nodiscard]] std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) override {
    const auto slot = inner_->try_acquire(to, blocking);
    if (!slot) return std::nullopt;
    slot_ = *slot;
    return std::as_writable_bytes(std::span(draft_));
  }
  [[nodiscard]] std::size_t memory_bytes() const override { return inner_->memory_bytes(); }

 private:
  void release(Rank /*from*/, int /*slot*/) noexcept override {}

  std::unique_ptr<Channel> inner_;
  std::vector<std::uint64_t> draft_;
  std::span<std::byte> slot_;
};

}  // namespace

std::unique_ptr<Channel> make_early_channel(Group& group, const ChannelOptions& options) {
  return std::make_unique<EarlyChannel>(group.make_channel(options));
}

std::int64_t stress_divisor() { return 10; }

}  // namespace gossip::test
