// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Rounds of neighbor averaging.

#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/counters.h>
#include <libgossip/engine/lost_neighbor.h>
#include <libgossip/engine/round_numbers.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Mixes the vectors of one rank with those of its neighbors, round by round, synchronously: all
/// values of a round are of that round, and results are the same bits in every run.
///
/// Memory: one copy of the vectors a rank, two of vectors up to 1 MB together, however many
/// neighbors (none for a group of one rank).
///
/// kDrop: a neighbor that has been silent for the whole timeout takes no part any more, and its
/// weight goes to the own value: rows stay stochastic, and columns, because the neighbor hears
/// nothing more either. It needs neighbors that are mutual in every round. A message that a lost
/// neighbor never reads keeps its memory: up to two copies each.
///
/// Collective: construction and destruction. pull() is local, but its neighbors must come to the
/// same round. Threads: one per rank.
class Mixer {
 public:
  /// `vectors` (all ranks: the same types and sizes) must outlive the mixer. Throws gossip::Error
  /// on every rank when the schedule is for another number of ranks or the ranks' vectors differ.
  Mixer(transport::Group& group, topology::Schedule schedule, std::vector<VectorView> vectors,
        const Patience& patience, OnLostNeighbor on_lost_neighbor = OnLostNeighbor::kError);

  /// \f$ x_i \leftarrow x_i + \sum_j w_{ij} (x_j - x_i) \f$ for every vector, with the matrix of
  /// `round`. Blocks until the in-neighbors' values of this round are there. Throws TimeoutError
  /// naming the neighbor.
  void pull(std::int64_t round);

  [[nodiscard]] const topology::Schedule& schedule() const noexcept { return schedule_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

  /// Bytes of memory that this rank's side takes.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  void send(std::int64_t number);
  [[nodiscard]] std::span<std::byte> acquire();
  void receive(std::int64_t number);
  bool receive_from(Rank sender, std::int64_t number);
  void leave_out_lost();
  void combine();

  transport::Group& group_;
  topology::Schedule schedule_;
  std::vector<VectorView> vectors_;
  std::vector<std::size_t> offsets_;  // of the vectors in a message, 64-byte aligned
  std::size_t message_bytes_ = 0;
  std::unique_ptr<transport::Channel> channel_;
  RoundNumbers numbers_;
  LostNeighbors lost_;
  Counters counters_;
  // Kept between rounds so that a round allocates nothing.
  topology::Neighborhood neighborhood_;
  std::vector<Rank> receivers_;
  std::vector<transport::Message> messages_;
  std::tuple<std::vector<kernels::Source<float>>, std::vector<kernels::Source<double>>> sources_;
};

}  // namespace gossip::engine
