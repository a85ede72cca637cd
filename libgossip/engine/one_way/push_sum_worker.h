// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The driver of push-sum in rounds.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/engine/counters.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/one_way/push_sum_vectors.h>
#include <libgossip/engine/round_numbers.h>
#include <libgossip/engine/worker.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

struct PushSumWorkerOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of a neighbor's silence
  OnLostNeighbor on_lost_neighbor = OnLostNeighbor::kError;
};

/// SGP, in rounds that all ranks make together: \f$ U \leftarrow P (U - \eta G(Z)),\ w \leftarrow P
/// w,\ Z = U / w \f$ with a column-stochastic P of the schedule (see PushSumShares). The graph may
/// be directed; neighbors need not be mutual.
///
/// kDrop: a neighbor that has been silent for the whole timeout gets and gives nothing any more;
/// what it would have got its senders keep, and the mass that it had is lost to the others. A
/// message that it never takes keeps its memory: up to a dozen can.
///
/// Memory: the excess (one copy of the model) and what is sent: a copy for each different share of
/// a round (one when senders split evenly), twice that up to 1 MB; with kDrop more as messages get
/// lost.
///
/// Collective: construction and destruction; finish() waits for this round's in-neighbors only.
/// Threads: one per rank.
class PushSumWorker final : public Worker {
 public:
  /// `model` must outlive the worker. Throws gossip::Error on every rank when the schedule is for
  /// another number of ranks, is not consistent, or has more different shares than a channel slots;
  /// warns when it does not connect all ranks.
  PushSumWorker(transport::Group& group, topology::Schedule schedule, std::vector<VectorView> model,
                std::function<void()> local_update, const PushSumWorkerOptions& options = {});

  void prepare(const policy::Decision& decision = {}) override { check_plain(decision); }
  void finish(const policy::Decision& decision = {}) override;
  void leave() override { membership_.leave(); }
  void come_back() override { membership_.come_back(); }
  void come_back_alone() override { membership_.come_back_alone(); }
  [[nodiscard]] Position position() const override;
  void set_position(const Position& position) override;
  [[nodiscard]] std::vector<StateVector> state() override { return vectors_.state(); }
  [[nodiscard]] std::int64_t job_steps() const override { return position_.step * group_.size(); }
  [[nodiscard]] bool is_synchronous() const override { return true; }
  [[nodiscard]] Counters counters() const override;
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  void pull(std::int64_t round);
  void send(std::int64_t number);
  void send_share(std::int64_t number, double share);
  [[nodiscard]] std::span<std::byte> acquire();
  void receive(std::int64_t number);
  void receive_from(Rank sender, std::int64_t number);
  void lose(Rank peer, std::string_view what, Clock::time_point since);
  void write_off_lost();
  void while_waiting();

  transport::Group& group_;
  topology::Schedule schedule_;
  std::function<void()> local_update_;
  PushSumWorkerOptions options_;
  PushSumShares shares_;
  PushSumVectors vectors_;
  Position position_;
  std::vector<Rank> peers_;
  Membership membership_;
  Rank awaited_ = -1;                 // whose message is waited for
  std::vector<double> last_weights_;  // by rank: what the last message to it carried
  Counters counters_;
  std::unique_ptr<transport::Channel> channel_;  // none for one rank
  RoundNumbers numbers_;
  // Kept between rounds so that a round allocates nothing.
  topology::Neighborhood neighborhood_;
  std::vector<Rank> receivers_;
};

}  // namespace gossip::engine
