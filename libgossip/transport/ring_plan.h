// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How a vector goes around rings of ranks until all of them have its mean. Arithmetic only.

#include <cstddef>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/base/vector_view.h>

namespace gossip::transport {

/// One way of some chunks around a ring, on which each rank sends to the next one; there are as
/// many chunks as ranks. In the first `ranks - 1` rounds the sums of the chunks are collected: what
/// arrives is added to. In as many further rounds the sums are handed around. A pass makes the
/// rounds from `first_round` to before `end_round`.
struct RingPass {
  Rank next = 0;
  Rank previous = 0;
  std::size_t ranks = 1;     ///< on the ring
  std::size_t position = 0;  ///< of this rank there
  std::size_t first_round = 0;
  std::size_t end_round = 0;
  std::size_t first_chunk = 0;  ///< of the block's; the pass takes this one and then each
  std::size_t stride = 1;       ///< `stride`-th one
  bool needs_the_last = false;  ///< starts with what the pass before it ends with

  [[nodiscard]] std::size_t num_rounds() const noexcept { return end_round - first_round; }
  [[nodiscard]] bool is_last(std::size_t round) const noexcept { return round + 1 == end_round; }

  /// Whether this rank's values are added to what arrives in the round.
  [[nodiscard]] bool adds(std::size_t round) const noexcept { return round + 1 < ranks; }

  /// Whether this rank then has the sum over the ring.
  [[nodiscard]] bool completes(std::size_t round) const noexcept { return round + 2 >= ranks; }

  /// Whether that sum, of which the ring has heard nothing before, is the one over all ranks.
  [[nodiscard]] bool makes_means(std::size_t round) const noexcept {
    return round + 2 == ranks && end_round >= ranks;
  }

  /// The chunk that this rank sends in a round; it receives that one in the round before.
  [[nodiscard]] std::size_t chunk(std::size_t round) const noexcept {
    return first_chunk + stride * ((position + 2 * ranks - round) % ranks);
  }
};

/// What the passes of a group look like to one rank. A vector is cut into *blocks*, each of which
/// makes all passes in turn; a block into a *chunk* for each rank of the group, and a chunk into
/// *pieces*.
///
/// Where there are several hosts with equally many ranks, and several: section by section, of which
/// a block has one for each host, the sums of a host are collected inside it, a chunk of each
/// section on each rank; these go around between the hosts; and the means then inside the hosts.
/// 2(h-1)/h of a vector leaves each of h hosts. Otherwise it is one pass around all n ranks, host
/// by host, and 2(n-1)/n of a vector leaves each host.
class RingPlan {
 public:
  /// How one vector is cut.
  struct Cut {
    std::size_t blocks = 0;  ///< none of an empty vector
    std::size_t pieces = 1;  ///< of a chunk
  };

  /// `hosts`: the ranks of each host; all are on one, and `rank` is one of them. A piece takes at
  /// most `piece_bytes`, and a chunk has at most `most_pieces`.
  RingPlan(const std::vector<std::vector<Rank>>& hosts, Rank rank, std::size_t piece_bytes,
           std::size_t most_pieces);

  [[nodiscard]] std::size_t num_ranks() const noexcept { return ranks_; }
  [[nodiscard]] const std::vector<RingPass>& passes() const noexcept { return passes_; }

  [[nodiscard]] Cut cut(const VectorView& vector) const;

  [[nodiscard]] VectorView piece(const VectorView& vector, const Cut& cut, std::size_t block,
                                 std::size_t chunk, std::size_t index) const;

 private:
  std::vector<RingPass> passes_;
  std::size_t ranks_ = 0;
  std::size_t piece_bytes_;
  std::size_t most_pieces_;
};

}  // namespace gossip::transport
