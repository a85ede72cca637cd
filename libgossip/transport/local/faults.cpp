// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/transport/local/faults.h>

namespace gossip::transport::local {
namespace {

/// Faults happen where messages are received: a message is taken from the channel and held back, or
/// thrown away.
class FaultyChannel final : public Channel {
 public:
  FaultyChannel(std::unique_ptr<Channel> inner, std::shared_ptr<const Faults> faults, Rank self,
                std::vector<Rank> names)
      : Channel(inner->options(), self),
        inner_(std::move(inner)),
        faults_(std::move(faults)),
        names_(std::move(names)),
        self_(name_of(self)),
        held_(names_.size()),
        seen_(names_.size()) {}

  void commit(const Header& header) override { inner_->commit(header); }

  [[nodiscard]] std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) override {
    return inner_->try_acquire(to, blocking);
  }

  [[nodiscard]] std::optional<Message> try_next(Rank from) override {
    std::optional<Message>& held = held_[static_cast<std::size_t>(from)];
    while (!held) {
      held = inner_->try_next(from);
      if (!held) return std::nullopt;
      if (is_lost(*held)) held.reset();
    }
    if (faults_->is_paused(name_of(from)) || !has_arrived(*held)) return std::nullopt;
    return std::exchange(held, std::nullopt);
  }

  [[nodiscard]] std::optional<Message> latest(Rank from) override {
    if (faults_->is_paused(name_of(from))) return std::nullopt;
    std::optional<Message> message = inner_->latest(from);
    if (message && (is_lost(*message) || !has_arrived(*message))) message.reset();
    return message;
  }

  [[nodiscard]] std::size_t memory_bytes() const override { return inner_->memory_bytes(); }

 private:
  struct Sighting {
    std::uint64_t sequence = 0;
    Clock::time_point time;
  };

  void release(Rank /*from*/, int /*slot*/) noexcept override {
  }  // messages belong to the inner channel

  [[nodiscard]] Rank name_of(Rank rank) const { return names_[static_cast<std::size_t>(rank)]; }

  [[nodiscard]] bool is_lost(const Message& message) const {
    return faults_->drop &&
           faults_->drop(name_of(message.from()), self_, message.header().sequence);
  }

  [[nodiscard]] bool has_arrived(const Message& message) {
    if (!faults_->delay) return true;
    Sighting& first = seen_[static_cast<std::size_t>(message.from())];
    if (first.sequence != message.header().sequence)
      first = {message.header().sequence, Clock::now()};
    return Clock::now() - first.time >=
           faults_->delay(name_of(message.from()), self_, first.sequence);
  }

  std::unique_ptr<Channel> inner_;
  std::shared_ptr<const Faults> faults_;
  std::vector<Rank> names_;
  Rank self_;  // as the faults call it
  std::vector<std::optional<Message>> held_;
  std::vector<Sighting> seen_;
};

}  // namespace

std::unique_ptr<Channel> with_faults(std::unique_ptr<Channel> channel,
                                     std::shared_ptr<const Faults> faults, Rank self,
                                     std::vector<Rank> names) {
  return std::make_unique<FaultyChannel>(std::move(channel), std::move(faults), self,
                                         std::move(names));
}

}  // namespace gossip::transport::local
