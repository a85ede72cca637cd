// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Mixing matrices: which weight a receiver gives to which sender.

#include <span>
#include <string_view>
#include <vector>

#include <libgossip/base/types.h>

namespace gossip::topology {

/// The other end of an edge, with the mixing weight of that edge.
struct Neighbor {
  Rank rank;
  double weight;
};

/// A sum of weights further than this from 1 is not stochastic. Far above the rounding of any sum
/// of doubles, and below what ten typed digits miss.
inline constexpr double kStochasticTolerance = 1e-9;

/// The matrix W of one mixing round: W[i][j] is the weight that receiver i gives to the value of
/// sender j, so a round is X <- W X. Sparse: zeros are not stored. Immutable.
///
/// Threads: const member functions may run at the same time.
/// Errors: construction throws gossip::Error naming the row and column of an entry that is not a
/// finite number. Negative weights can be held (research uses them), but no stochastic matrix has
/// them.
class MixingMatrix {
 public:
  struct Entry {
    Rank receiver;
    Rank sender;
    double weight;
  };

  /// From its entries that are not zero, in any order. Throws gossip::Error for an entry that is
  /// given twice.
  MixingMatrix(int size, const std::vector<Entry>& entries);

  /// From its rows: `rows[i][j]` = W[i][j].
  explicit MixingMatrix(const std::vector<std::vector<double>>& rows);

  /// Number of ranks.
  [[nodiscard]] int size() const noexcept { return static_cast<int>(self_weights_.size()); }

  /// W[receiver][sender].
  [[nodiscard]] double operator()(Rank receiver, Rank sender) const;

  /// W[rank][rank].
  [[nodiscard]] double self_weight(Rank rank) const;

  /// The non-zero W[receiver][j] with j other than `receiver`, sorted by rank. Lives as long as the
  /// matrix.
  [[nodiscard]] std::span<const Neighbor> row(Rank receiver) const;

  /// The non-zero W[i][sender] with i other than `sender`, sorted by rank. Lives as long as the
  /// matrix.
  [[nodiscard]] std::span<const Neighbor> column(Rank sender) const;

  /// All entries: [size][size].
  [[nodiscard]] std::vector<std::vector<double>> rows() const;

  /// No negative entry, and every row sums to 1: what each rank gets is an average.
  [[nodiscard]] bool is_row_stochastic() const;

  /// No negative entry, and every column sums to 1: the sum over all ranks is conserved.
  [[nodiscard]] bool is_column_stochastic() const;

  [[nodiscard]] bool is_doubly_stochastic() const;

  /// W equals its transpose exactly.
  [[nodiscard]] bool is_symmetric() const;

 private:
  std::vector<double> self_weights_;
  std::vector<std::vector<Neighbor>> rows_;
  std::vector<std::vector<Neighbor>> columns_;
};

/// Throws gossip::Error unless the matrix is row stochastic. The message starts with `name` and
/// names the entry that is negative, or the row with its sum.
void validate_row_stochastic(const MixingMatrix& matrix, std::string_view name);

/// The same for columns.
void validate_column_stochastic(const MixingMatrix& matrix, std::string_view name);

/// The same for rows and columns.
void validate_doubly_stochastic(const MixingMatrix& matrix, std::string_view name);

}  // namespace gossip::topology
