// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Rounds of neighbor averaging.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/helper.h>
#include <libgossip/base/message_layout.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/rounds/round_exchange.h>
#include <libgossip/kernels/codec.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/topology/matrices.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Mixes the vectors of one rank with those of its neighbors, round by round, synchronously: all
/// values of a round are of that round, and results are the same bits in every run.
///
/// Memory: one copy of the vectors a rank, two of vectors up to 1 MB together, however many
/// neighbors (none for a group of one rank).
///
/// Vectors may also be only sent: the caller writes them where they are sent from, see outgoing(),
/// and what mixing would change of each is added to its correction. From 1 MB on a thread of the
/// mixer's own does that after mix() has returned: until settle() nobody may touch corrections. A
/// correction may be replaced instead, by \f$ \sum_j W_{ij} s_j \f$, before mix() returns.
///
/// With a membership that may drop a run goes on without lost neighbors (see RoundExchange): the
/// rest of their weight goes to the own value, so that rows and columns stay stochastic however the
/// ranks' views differ. Where values are pulled, neighbors must be mutual in every round, and at
/// most 64; nothing may be compressed, and not both pulled and pushed. A message that a lost
/// neighbor never reads keeps its memory: up to two copies each.
///
/// Rounds that close as agreed keep the mean over the ranks, by whatever policies: of matrices that
/// are symmetric in every round, with at most 64 neighbors. Each takes a second, short message.
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
    std::vector<VectorView> corrections = {};    ///< may be empty
    bool are_corrections_pushed = false;
    bool are_corrections_replaced = false;  ///< by what is mixed of outgoing()
  };

  /// `vectors` (all ranks: the same types and sizes) and `membership`, if there is one, must
  /// outlive the mixer. Throws gossip::Error on every rank when a matrix is for another number of
  /// ranks, or the ranks' vectors or their `closes_as_agreed` differ.
  Mixer(transport::Group& group, topology::Matrices matrices, Vectors vectors,
        const Patience& patience, Membership* membership = nullptr, bool closes_as_agreed = false);

  /// With a codec, before each mix(): \f$ x_i \leftarrow Q(x_i) \f$ for what is pulled; the same
  /// bytes are what mix() sends.
  void compress();

  /// \f$ x_i \leftarrow x_i + \sum_j R_{ij} (x_j - x_i) \f$ for every vector that is pulled (with a
  /// codec \f$ \sum_j R_{ij} Q(x_j) \f$, summed in the order of the ranks), \f$ x_i \leftarrow
  /// \sum_j C_{ij} x_j \f$ for what is pushed, with the matrices of `round`; to corrections \f$
  /// \sum_j W_{ij} s_j - s_i \f$ is added, where s is outgoing() and W is R or C. Blocks until the
  /// in-neighbors' values of this round are there, in whatever order they come. Returns \f$ \sum_j
  /// C_{ij} w_j \f$, where w_i is `weight`; 1 where nothing is pushed. Throws TimeoutError naming
  /// the neighbor, the first of several. With `wait`, where values are only pulled as they are, it
  /// blocks until that closes the round; who is not accepted is left out, and the own value keeps
  /// its weight: rows sum to 1, and columns in rounds that close as agreed. Each rank may have a
  /// policy of its own, another one in each round.
  double mix(std::int64_t round, double weight = 1.0, policy::WaitPolicy* wait = nullptr);

  /// In place of mix(), of a rank that decides by itself to give nothing in this round: its
  /// neighbors learn it from a message without values and go on without. What is pushed to it is
  /// added to what it has, all of which it keeps: columns stay stochastic. What is pulled it mixes
  /// as they do, where something is pushed as well, with rows made whole again in proportion; else
  /// it mixes nothing, and symmetric matrices stay so. Not for what is compressed or corrected.
  double skip(std::int64_t round, double weight = 1.0);

  /// Where the next mix(), which must be of this round, takes what is only sent from: one view for
  /// each correction. To be written as a whole; stays as it is until the next call. Blocks until
  /// the last message has been read by all. Throws TimeoutError naming the neighbor.
  [[nodiscard]] const std::vector<VectorView>& outgoing(std::int64_t round);

  /// The same for a step in which nothing is sent: memory of its own, or of what is replaced. Does
  /// not block.
  [[nodiscard]] const std::vector<VectorView>& outgoing_kept();

  /// Blocks until the corrections are complete.
  void settle();

  /// Before a rank stops to make rounds: blocks until all has come that rounds have closed without.
  /// Throws TimeoutError naming the neighbor.
  void drain() {
    settle();
    exchange_->drain();
  }

  [[nodiscard]] Counters counters() const;

  /// Bytes of memory that this rank's side takes.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  [[nodiscard]] topology::MatricesUsed used() const noexcept;
  void check(transport::Group& group);
  [[nodiscard]] std::size_t write(std::span<std::byte> slot);
  void count_passes(const std::vector<VectorView>& vectors, std::size_t passes);
  void combine();
  void combine(const VectorView& vector, std::size_t index, bool is_pushed);
  void combine_encoded();
  void add_encoded(std::span<const std::byte> message, double weight);
  [[nodiscard]] double finish(double weight);
  void correct() noexcept;
  template <class T>
  void list_sources(std::size_t index, bool is_pushed, const T* own,
                    std::vector<kernels::Source<T>>& sources) const;
  template <class T>
  void correct(std::span<T> correction, std::span<const T> own, std::size_t index) noexcept;
  [[nodiscard]] double pushed_weight(double own) const;

  Rank rank_;
  topology::Matrices matrices_;
  std::vector<VectorView> pulled_;
  std::vector<VectorView> pushed_;
  std::shared_ptr<kernels::Codec> codec_;
  std::vector<VectorView> corrections_;
  bool are_corrections_pushed_;
  bool are_corrections_replaced_;
  MessageLayout layout_;            // of what is sent as it is
  std::size_t message_bytes_ = 0;   // at most
  std::vector<std::byte> encoded_;  // the own message
  std::size_t encoded_bytes_ = 0;
  bool may_drop_;
  bool closes_as_agreed_;
  std::optional<RoundExchange> exchange_;  // made by the checks
  Counters counters_;
  // Kept between rounds so that a round allocates nothing.
  using Sources =
      std::tuple<std::vector<kernels::Source<float>>, std::vector<kernels::Source<double>>>;
  Sources sources_;
  Sources sources_of_corrections_;  // the helper's
  std::vector<VectorView> outgoing_;
  std::vector<std::byte> kept_;     // where it lies when there is no message
  std::unique_ptr<Helper> helper_;  // last: it ends first
};

}  // namespace gossip::engine
