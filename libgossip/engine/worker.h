// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The one loop that drives a method over a group.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/counters.h>
#include <libgossip/policy/decision.h>

namespace gossip::engine {

/// Where a worker stands; what it has to save and load besides its vectors.
struct Position {
  std::int64_t step = 0;   ///< steps finished
  std::int64_t round = 0;  ///< rounds of the schedule used
  double weight = 1.0;     ///< push-sum weight
  double rates = 0.0;      ///< sum of the learning rates of local steps since it communicated,
  std::int64_t rated = 0;  ///< and how many those are; where the method needs them
};

/// A vector of a method's own.
struct StateVector {
  std::string name;
  VectorView vector;
};

/// One worker of a decentralized method. A step is prepare(), the caller's gradient at the model,
/// finish(). Threads: one per rank.
class Worker {
 public:
  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  virtual ~Worker() = default;

  /// Memory of the worker in which the model has to lie from now on, one view an element type;
  /// empty when it stays where it is. To be asked before the first prepare().
  [[nodiscard]] virtual std::vector<VectorView> model_memory() { return {}; }

  /// What comes before the gradient. `decision` holds for the step: where it does not communicate
  /// only the local part. Throws gossip::Error for a decision that the method cannot follow.
  virtual void prepare(const policy::Decision& decision = {}) = 0;

  /// Whether finish() of this step reads the gradient. With device sampling a rank that is not
  /// active computes nothing.
  [[nodiscard]] virtual bool needs_gradient() const { return true; }

  /// Throws gossip::Error for a step that finish() could not make. Local; changes nothing.
  virtual void check_finish(const policy::Decision& /*decision*/) const {}

  /// What comes after the gradient, and ends the step. Whether the rank computes is what prepare()
  /// was told; the rest of `decision` may be another one. After check_finish() has let it pass, an
  /// error may come in the middle of it, where position() and state() belong to no step.
  virtual void finish(const policy::Decision& decision = {}) = 0;

  /// This rank leaves the training loop, for a collective call or for good, and comes back to it.
  /// Synchronous methods: a rank that waits for this one's next step gets an error instead of
  /// waiting on; local, but where a wait policy has closed rounds without values: it waits until
  /// they have come. Asynchronous ones: collective; waits until all ranks leave, serving them
  /// meanwhile, and until nothing is on its way; then nobody touches the model before come_back().
  virtual void leave() = 0;
  virtual void come_back() = 0;

  /// As come_back(), where the other ranks did not come: leave() threw, or the meeting after it.
  /// For them this rank has not been away.
  virtual void come_back_alone() = 0;

  [[nodiscard]] virtual Position position() const = 0;
  virtual void set_position(const Position& position) = 0;

  /// The method's own vectors, to be saved and loaded between leave() and come_back().
  [[nodiscard]] virtual std::vector<StateVector> state() { return {}; }

  /// Steps of all ranks together, as far as this rank knows: exact for synchronous methods, a
  /// moment behind for the others.
  [[nodiscard]] virtual std::int64_t job_steps() const = 0;

  [[nodiscard]] virtual Counters counters() const = 0;

  /// Whether all ranks make the same steps. Otherwise state() is whole between leave() and
  /// come_back() only.
  [[nodiscard]] virtual bool is_synchronous() const = 0;

  /// Bytes of memory for communication on this rank, the caller's vectors not counted.
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;

 protected:
  /// Throws gossip::Error for a decision not to compute, or when to close rounds, which this method
  /// cannot follow.
  static void check_plain(const policy::Decision& decision) {
    GOSSIP_CHECK(decision.wait == nullptr,
                 "A rank was to close rounds by a wait policy, but this method has no rounds that "
                 "wait.");
    check_computes(decision);
  }

  /// Throws gossip::Error for a decision not to compute.
  static void check_computes(const policy::Decision& decision) {
    GOSSIP_CHECK(decision.computes,
                 "A rank was to compute no gradient in a step, but the method needs one of every "
                 "rank in every step: take push-pull with device sampling.");
  }
};

}  // namespace gossip::engine
