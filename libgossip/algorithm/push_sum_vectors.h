// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The push-sum state of one rank.

#include <cstddef>
#include <span>
#include <vector>

#include <libgossip/algorithm/push_sum.h>
#include <libgossip/base/message_layout.h>
#include <libgossip/base/vector_view.h>

namespace gossip::algorithm {

/// PushSum on all vectors of a model together, with the memory that it takes: one more
/// copy of the model. A local update acts on the model, not on the numerator: \f$ u \leftarrow u +
/// w \Delta \f$, so that z moves by \f$ \Delta \f$, whatever the weight. Local; not for calls
/// from several threads.
class PushSumVectors {
 public:
  /// The memory of `model` must outlive this object. The weight is 1, and the model the numerator.
  explicit PushSumVectors(const std::vector<VectorView>& model);

  /// See PushSum. Between rounds absorb() is allowed, too: it leaves the model alone
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

  /// What the numerators exceed the model times the weight of the last close() by: zero but for
  /// what was absorbed since.
  [[nodiscard]] const std::vector<VectorView>& excess() const noexcept { return excess_; }

  [[nodiscard]] const MessageLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return layout_.bytes(); }

 private:
  void add_model(double factor);

  double weight_of_model_ = 1.0;  // at the last close()
  bool has_news_ = false;
  std::vector<VectorView> model_;
  MessageLayout layout_;
  std::vector<std::byte> memory_;
  std::vector<VectorView> excess_;
  std::vector<PushSum> rules_;  // their weights are the same at all times
};

}  // namespace gossip::algorithm
