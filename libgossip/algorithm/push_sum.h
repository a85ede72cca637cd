// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Push-sum: averaging when senders split what they have and nobody needs to answer.

#include <libgossip/base/vector_view.h>

namespace gossip::algorithm {

/// Push-sum (Kempe, Dobra, Gehrke 2003) of one worker, the mixing of SGP and overlapped SGP (Assran
/// et al. 2019, arXiv 1811.10792). The worker has a numerator u and a push-sum weight w; its model
/// is \f$ z = u / w \f$. A round: \f$ u \leftarrow P u,\ w \leftarrow P w \f$ with a column
/// stochastic P (column j says how j splits what it has). The sums of u and of w, messages on their
/// way included, never change: all z tend to the mean of the first models.
///
/// Between rounds the caller's `model` holds z and `excess` holds u - z, so whatever a local
/// optimizer adds to the model is added to u as well: SGP applies its step to the numerator. In a
/// round, from open() to close(), `excess` holds u and the model is out of date.
///
/// ```
/// rule.open();                                        // excess becomes u
/// double weight = rule.send(share, message);          // once for each share of the column
/// rule.absorb(message_of_another, its_weight);        // once for each message
/// rule.close();                                       // model becomes z
/// ```
/// Overlapped: absorb() what the last round sent, then send(). There w is 1/2 while half of the
/// mass is on its way, and a local step moves z by its full length.
///
/// The rule never communicates. Memory: one extra vector. On the wire: one vector and one number.
/// Not for calls from several threads. The vectors must outlive it.
class PushSum {
 public:
  /// An asynchronous sender must not send while its weight is below this (see may_send()).
  static constexpr double kLeastWeight = 0.5;

  /// `excess` must have the type and size of `model`; it becomes 0 and the weight 1.
  /// Throws gossip::Error when they differ.
  PushSum(const VectorView& model, const VectorView& excess);

  /// Starts a round.
  void open();

  /// Writes \f$ share \cdot u \f$ into `message`, for each of `receivers` receivers, and keeps the
  /// rest; returns the weight that goes with each. `share` refers to u at open(), or after the last
  /// absorb(), so several calls take the entries of one column of P as they are. What is kept is
  /// the old value minus what was sent: sums stay to rounding, even if the shares sum to 1 only
  /// roughly. Throws gossip::Error when the shares exceed what is there.
  double send(double share, const VectorView& message, int receivers = 1);

  /// Adds what another worker has sent.
  void absorb(const VectorView& message, double weight);

  /// Ends a round. Throws gossip::Error when all weight was given away.
  void close();

  /// w.
  [[nodiscard]] double weight() const noexcept { return weight_; }

  /// Continues with a weight from a checkpoint; model and excess are the caller's to restore.
  void restore(double weight);

  /// Whether the weight allows to send another half when nobody guarantees that as much comes back:
  /// k messages between two receipts leave a weight of 2^-k, and a gradient step on u moves z by
  /// 1 / w times its length: the sums are right and the models useless. A worker of less weight
  /// absorbs and computes, but does not send. (Rounds that all workers make together need no such
  /// rule: there the weights are bounded below by the schedule.)
  [[nodiscard]] bool may_send() const noexcept { return weight_ >= kLeastWeight; }

 private:
  VectorView model_;
  VectorView excess_;
  double weight_ = 1.0;
  double kept_ = 1.0;  // of u at open() or after the last absorb()
};

}  // namespace gossip::algorithm
