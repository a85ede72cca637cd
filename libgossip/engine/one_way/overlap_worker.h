// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The driver of push-sum without rounds.

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include <libgossip/algorithm/push_sum_vectors.h>
#include <libgossip/base/alone.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/model_port.h>
#include <libgossip/engine/worker.h>
#include <libgossip/topology/graph.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Options of an OverlapWorker.
struct OverlapWorkerOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of a neighbor's silence
  policy::OnLostNeighbor on_lost_neighbor = policy::OnLostNeighbor::kError;
};

/// Overlapped SGP: nobody waits. After each step a rank sends half of what it has to a receiver of
/// its round (one of them after the other, where there are several), if its weight allows (see
/// algorithm::PushSum::may_send()) and its last messages have left room; otherwise it keeps all and
/// counts that as skipped. The communication thread absorbs what arrives, at any time; the model
/// moves at the end of a step only.
///
/// The local update acts on the model, not on the numerator: \f$ u \leftarrow u + w \Delta \f$.
/// Weights differ between ranks and change all the time here, and a \f$ \Delta \f$ on u moves z by
/// \f$ \Delta / w \f$, up to four times as far, which makes training with momentum diverge.
///
/// leave() is collective: a rank that is done goes on absorbing, and forwarding half of what it
/// has, until all ranks leave; then every message is absorbed before it returns. So the sums over
/// the ranks of numerators and of weights are then exact, and a checkpoint is complete.
///
/// kDrop: a receiver that takes nothing for the whole timeout is sent nothing any more. The mass
/// that was on its way is counted as lost, and its sender makes up for it with as much of its own
/// model: else weights would fall below what may be sent. What the receiver itself had is gone.
///
/// Ages (Counters::ages): a rank's own steps since it last took in a message of the same sender.
/// That is how long it did without news; paces of sender and receiver need not agree.
///
/// Memory: the excess (one copy of the model) and up to two messages on their way (four up to 1
/// MB), and as many that arrive from other hosts.
///
/// Collective: construction, leave() and destruction. Threads: one per rank.
class OverlapWorker final : public Worker {
 public:
  /// Throws gossip::Error on every rank when the schedule is for
  /// another number of ranks, is not consistent, or does not connect all ranks.
  OverlapWorker(transport::Group& group, topology::Schedule schedule, ModelPort& port,
                const OverlapWorkerOptions& options = {});
  ~OverlapWorker() override;

  void prepare(const policy::Decision& decision = {}) override { check_plain(decision); }
  void finish(const policy::Decision& decision = {}) override;
  void leave() override;
  void come_back() override;
  void come_back_alone() override;
  [[nodiscard]] Position position() const override;
  void set_position(const Position& position) override;
  [[nodiscard]] std::vector<StateVector> state() override;
  [[nodiscard]] std::int64_t job_steps() const override { return membership_.job_steps(); }
  [[nodiscard]] bool is_synchronous() const override { return false; }
  [[nodiscard]] Counters counters() const override;
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  static constexpr std::size_t kRemembered = 16;  // weights of messages to one receiver

  /// What a rank may do with what arrives.
  enum class Mode {
    kTraining,  ///< absorb it
    kServing,   ///< absorb it, and forward half
    kSettling,  ///< absorb it
    kAway,      ///< leave it where it is: somebody saves or loads
  };

  /// The traffic with one other rank.
  struct Edge {
    std::int64_t sent = 0;
    std::int64_t taken_by_receiver = 0;  // as far as known
    std::int64_t received = 0;
    std::int64_t news_at = 0;                   // own step of the last message from it
    std::array<double, kRemembered> weights{};  // of the last messages to it
    bool is_written_off = false;                // it is lost
  };

  transport::Activity poll();
  bool absorb_arrived();
  bool absorb_from(Rank sender);
  void send();
  void send_to(Rank receiver);
  void watch();
  void write_off(Edge& to);
  [[nodiscard]] Rank choose_receiver();
  [[nodiscard]] std::vector<std::int64_t> messages_to_come();
  void settle();
  void check() const;
  [[nodiscard]] Edge& edge(Rank rank) { return edges_[static_cast<std::size_t>(rank)]; }

  gossip::detail::Lifetime lifetime_;
  transport::Group& group_;
  topology::Schedule schedule_;
  ModelPort& port_;
  OverlapWorkerOptions options_;
  topology::Graph graph_;  // of all rounds; made by the checks, first
  std::vector<Rank> peers_;
  Membership membership_;
  mutable std::mutex mutex_;  // of what follows
  algorithm::PushSumVectors vectors_;
  Position position_;
  Mode mode_ = Mode::kTraining;
  double to_make_up_ = 0.0;  // weight
  Counters counters_;
  std::vector<Edge> edges_;                      // by rank
  std::unique_ptr<transport::Channel> channel_;  // none for one rank
  topology::Neighborhood neighborhood_;
  std::exception_ptr error_;
  std::unique_ptr<transport::Background::Work> work_;  // ends first
};

}  // namespace gossip::engine
