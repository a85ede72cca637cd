// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The push-sum state of one rank.

#include <cstddef>
#include <span>
#include <vector>

#include <libgossip/algorithm/push_sum.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/message_layout.h>
#include <libgossip/engine/worker.h>
#include <libgossip/topology/schedule.h>

namespace gossip::engine {

/// What a local update of the model does to the numerator.
enum class LocalStep {
  kOnNumerator,  ///< \f$ u \leftarrow u + \Delta \f$: z moves by \f$ \Delta / w \f$, as in SGP
  kOnModel,  ///< \f$ u \leftarrow u + w \Delta \f$: z moves by \f$ \Delta \f$, whatever the weight
};

/// algorithm::PushSum on all vectors of a model together, with the memory that it takes: one more
/// copy of the model. Local; not for calls from several threads.
class PushSumVectors {
 public:
  /// The memory of `model` must outlive this object. The weight is 1, and the model the numerator.
  PushSumVectors(const std::vector<VectorView>& model, LocalStep local_step);

  /// See algorithm::PushSum. Between rounds absorb() is allowed, too: it leaves the model alone
  /// until the next close().
  void open();
  double send(double share, std::span<std::byte> message, int receivers);
  void absorb(std::span<const std::byte> message, double weight);
  void close();
  /// Takes `weight` more of the present model, in place of as much that is lost: the model stays.
  void make_up(double weight);
  [[nodiscard]] double weight() const { return rules_.front().weight(); }
  /// Whether anything was absorbed since the last close().
  [[nodiscard]] bool has_news() const noexcept { return has_news_; }
  [[nodiscard]] bool may_send() const { return rules_.front().may_send(); }
  void restore(double weight);

  /// What the numerators exceed the model by (kOnNumerator), or the model times the weight of the
  /// last close() (kOnModel): then zero but for what was absorbed since.
  [[nodiscard]] std::vector<StateVector> state();

  [[nodiscard]] const MessageLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return layout_.bytes(); }

 private:
  void add_model(double factor);

  LocalStep local_step_;
  double weight_of_model_ = 1.0;  // at the last close()
  bool has_news_ = false;
  std::vector<VectorView> model_;
  MessageLayout layout_;
  std::vector<std::byte> memory_;
  std::vector<VectorView> excess_;
  std::vector<algorithm::PushSum> rules_;  // their weights are the same at all times
};

/// How a sender splits what it has.
class PushSumShares {
 public:
  /// By the columns of the schedule's matrices where all of them are column stochastic (one period;
  /// the first 64 rounds of a schedule that never repeats); else evenly among the receivers of a
  /// round and the sender. Throws gossip::Error for a schedule that is not consistent.
  explicit PushSumShares(const topology::Schedule& schedule);

  /// What one of the `receivers` that a sender has in a round gets.
  [[nodiscard]] double share(const topology::Neighbor& receiver, std::size_t receivers) const {
    return is_even_ ? 1.0 / (1.0 + static_cast<double>(receivers)) : receiver.weight;
  }

  [[nodiscard]] bool is_even() const noexcept { return is_even_; }

  /// The most messages of different shares that a sender has in a round.
  [[nodiscard]] int most_messages(const topology::Schedule& schedule) const;

 private:
  bool is_even_;
};

}  // namespace gossip::engine
