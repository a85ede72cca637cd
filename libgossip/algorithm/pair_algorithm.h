// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Methods whose workers meet in pairs, at any time.

#include <span>
#include <string_view>

#include <libgossip/base/vector_view.h>

namespace gossip::algorithm {

/// The vectors of one worker, or the same range of each: one type, one length.
using State = std::span<const VectorView>;

/// A method of asynchronous pair events as a rule on one worker's vectors: what model time does to
/// them between events, and what an event does to each of the two. It never communicates and keeps
/// no state, so that one implementation is driven by processes, by threads and in virtual time.
///
/// state[0] is the model. Two kinds of methods:
///
/// - *relative* ones: all vectors start equal to the model, and a local step adds the increment
///   that a local optimizer makes to all of them. flow() and jump() commute with adding one vector
///   to the whole state, so a driver may keep the vectors relative to any vector it likes. Events
///   compare models.
/// - others: the further vectors start as zero, and a local step takes the gradient at the model.
///
/// Immutable. Elements are independent: a driver may apply an event range by range.
class PairAlgorithm {
 public:
  PairAlgorithm() = default;
  PairAlgorithm(const PairAlgorithm&) = delete;
  PairAlgorithm& operator=(const PairAlgorithm&) = delete;
  virtual ~PairAlgorithm() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;

  /// Vectors of state, the model included.
  [[nodiscard]] virtual int num_vectors() const = 0;

  /// Which of the two kinds it is.
  [[nodiscard]] virtual bool is_relative() const { return true; }

  /// Lets model time pass: `elapsed` >= 0, in units of the mean time of one gradient.
  virtual void flow(State state, double elapsed) const = 0;

  /// What the two workers of an event compare, and what travels; `out` is none of the state.
  virtual void write_payload(State state, const VectorView& out) const;

  /// This worker's half of a pair event. `difference` is m = payload of i - payload of j, both
  /// flowed to the event; `sign` is +1 at i and -1 at j, so that both halves use the same m and the
  /// sums are kept to rounding.
  virtual void jump(State state, const VectorView& difference, double sign) const = 0;

  /// A step of this worker alone: `local` is an increment of the model, or the gradient at it.
  virtual void local_step(State state, const VectorView& local) const;
};

}  // namespace gossip::algorithm
