// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Rounds of neighbor averaging.

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/counters.h>
#include <libgossip/engine/lost_neighbor.h>
#include <libgossip/engine/message_layout.h>
#include <libgossip/engine/round_numbers.h>
#include <libgossip/kernels/codec.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// The mixing matrices of a round.
struct Matrices {
  topology::Schedule pull;  ///< R, of what is averaged
  topology::Schedule push;  ///< C, of what is split; the same where a method needs one matrix only

  template <std::convertible_to<topology::Schedule> One>
  Matrices(const One& one)  // NOLINT(google-explicit-constructor)
      : pull(one), push(pull) {}
  Matrices(topology::Schedule rows, topology::Schedule columns)
      : pull(std::move(rows)), push(std::move(columns)) {}
};

/// Mixes the vectors of one rank with those of its neighbors, round by round, synchronously: all
/// values of a round are of that round, and results are the same bits in every run.
///
/// Memory: one copy of the vectors a rank, two of vectors up to 1 MB together, however many
/// neighbors (none for a group of one rank).
///
/// kDrop: a neighbor that has been silent for the whole timeout takes no part any more, and its
/// weight goes to the own value: rows stay stochastic, and columns, because the neighbor hears
/// nothing more either. It needs neighbors that are mutual in every round, and nothing pushed or
/// compressed. A message that a lost neighbor never reads keeps its memory: up to two copies each.
///
/// Collective: construction and destruction. mix() is local, but its neighbors must come to the
/// same round. Threads: one per rank.
class Mixer {
 public:
  /// What one message carries.
  struct Vectors {
    std::vector<VectorView> pulled;
    std::vector<VectorView> pushed = {};
    std::shared_ptr<kernels::Codec> codec = {};  ///< of what is pulled; may be empty
  };

  /// `vectors` (all ranks: the same types and sizes) must outlive the mixer. Throws gossip::Error
  /// on every rank when a matrix is for another number of ranks or the ranks' vectors differ.
  Mixer(transport::Group& group, Matrices matrices, Vectors vectors, const Patience& patience,
        OnLostNeighbor on_lost_neighbor = OnLostNeighbor::kError);

  /// \f$ x_i \leftarrow x_i + \sum_j R_{ij} (x_j - x_i) \f$ for every vector that is pulled (with a
  /// codec \f$ \sum_j R_{ij} Q(x_j) \f$), \f$ x_i \leftarrow \sum_j C_{ij} x_j \f$ for what is
  /// pushed, with the matrices of `round`. Blocks until the in-neighbors' values of this round are
  /// there. Returns \f$ \sum_j C_{ij} w_j \f$, where w_i is `weight`; 1 where nothing is pushed.
  /// Throws TimeoutError naming the neighbor.
  double mix(std::int64_t round, double weight = 1.0);

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

  /// Bytes of memory that this rank's side takes.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  /// An in-neighbor of this round, in either matrix.
  struct Sender {
    Rank rank;
    double pull = 0.0;
    double push = 0.0;
  };

  [[nodiscard]] bool is_pushing() const noexcept { return !pushed_.empty(); }
  void find_neighbors(std::int64_t round);
  void send(std::int64_t number, double weight);
  [[nodiscard]] std::size_t write(std::span<std::byte> slot);
  [[nodiscard]] std::span<std::byte> acquire();
  void receive(std::int64_t number);
  bool receive_from(Rank sender, std::int64_t number);
  void leave_out_lost();
  void combine();
  void combine_encoded();
  [[nodiscard]] double pushed_weight(double own) const;

  transport::Group& group_;
  Matrices matrices_;
  std::vector<VectorView> pulled_;
  std::vector<VectorView> pushed_;
  std::shared_ptr<kernels::Codec> codec_;
  MessageLayout layout_;           // of what is sent as it is
  std::size_t message_bytes_ = 0;  // at most
  std::unique_ptr<transport::Channel> channel_;
  RoundNumbers numbers_;
  LostNeighbors lost_;
  Counters counters_;
  // Kept between rounds so that a round allocates nothing.
  topology::Neighborhood pull_;
  topology::Neighborhood push_;
  std::vector<Sender> senders_;  // by rank; one a message
  std::vector<Rank> receivers_;
  std::vector<transport::Message> messages_;
  std::tuple<std::vector<kernels::Source<float>>, std::vector<kernels::Source<double>>> sources_;
};

}  // namespace gossip::engine
