// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/topology/mixing_matrix.h>

namespace gossip::topology {
namespace {

std::size_t index(Rank rank) { return static_cast<std::size_t>(rank); }

std::vector<MixingMatrix::Entry> entries_of(const std::vector<std::vector<double>>& rows) {
  std::vector<MixingMatrix::Entry> entries;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    GOSSIP_CHECK(rows[i].size() == rows.size(),
                 "Row {} of a mixing matrix of {} rows has {} entries, but needs {}", i,
                 rows.size(), rows[i].size(), rows.size());
    for (std::size_t j = 0; j < rows.size(); ++j) {
      if (rows[i][j] != 0.0) entries.push_back({narrow<Rank>(i), narrow<Rank>(j), rows[i][j]});
    }
  }
  return entries;
}

void check_entry(int size, const MixingMatrix::Entry& entry) {
  const auto exists = [size](Rank rank) { return rank >= 0 && rank < size; };
  GOSSIP_CHECK(exists(entry.receiver) && exists(entry.sender),
               "Entry [{}][{}] lies outside a mixing matrix of {} ranks", entry.receiver,
               entry.sender, size);
  GOSSIP_CHECK(std::isfinite(entry.weight),
               "Entry [{}][{}] of a mixing matrix is {}, not a finite number", entry.receiver,
               entry.sender, entry.weight);
}

/// Why the lines of the matrix (its rows, or its columns) are not stochastic; nothing when they
/// are.
template <class Line>
std::optional<std::string> find_fault(const MixingMatrix& matrix, const char* kind, Line line) {
  for (Rank rank = 0; rank < matrix.size(); ++rank) {
    double sum = matrix.self_weight(rank);
    if (sum < 0.0) return fmt::format("{0} {1} has the negative self weight {2}", kind, rank, sum);
    for (const Neighbor& neighbor : line(rank)) {
      if (neighbor.weight < 0.0) {
        return fmt::format("{} {} has the negative entry {} at rank {}", kind, rank,
                           neighbor.weight, neighbor.rank);
      }
      sum += neighbor.weight;
    }
    if (std::abs(sum - 1.0) > kStochasticTolerance) {
      return fmt::format("{} {} sums to {}, not to 1", kind, rank, sum);
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_row_fault(const MixingMatrix& matrix) {
  return find_fault(matrix, "row", [&](Rank rank) { return matrix.row(rank); });
}

std::optional<std::string> find_column_fault(const MixingMatrix& matrix) {
  return find_fault(matrix, "column", [&](Rank rank) { return matrix.column(rank); });
}

bool is_before(const Neighbor& a, const Neighbor& b) { return a.rank < b.rank; }

}  // namespace

MixingMatrix::MixingMatrix(int size, const std::vector<Entry>& entries) {
  GOSSIP_CHECK(size >= 1, "A mixing matrix has {} ranks, but needs at least 1", size);
  self_weights_.resize(index(size), 0.0);
  rows_.resize(index(size));
  columns_.resize(index(size));
  std::vector<char> has_self_weight(index(size), 0);
  for (const Entry& entry : entries) {
    check_entry(size, entry);
    if (entry.sender == entry.receiver) {
      GOSSIP_CHECK(has_self_weight[index(entry.sender)]++ == 0,
                   "Entry [{0}][{0}] of a mixing matrix is given twice", entry.sender);
      self_weights_[index(entry.sender)] = entry.weight;
    } else if (entry.weight != 0.0) {
      rows_[index(entry.receiver)].push_back({entry.sender, entry.weight});
      columns_[index(entry.sender)].push_back({entry.receiver, entry.weight});
    }
  }
  for (auto& column : columns_) std::sort(column.begin(), column.end(), is_before);
  for (Rank receiver = 0; receiver < size; ++receiver) {
    auto& row = rows_[index(receiver)];
    std::sort(row.begin(), row.end(), is_before);
    const auto twice =
        std::adjacent_find(row.begin(), row.end(),
                           [](const Neighbor& a, const Neighbor& b) { return a.rank == b.rank; });
    GOSSIP_CHECK(twice == row.end(), "Entry [{}][{}] of a mixing matrix is given twice", receiver,
                 twice->rank);
  }
}

MixingMatrix::MixingMatrix(const std::vector<std::vector<double>>& rows)
    : MixingMatrix(narrow<int>(rows.size()), entries_of(rows)) {}

double MixingMatrix::operator()(Rank receiver, Rank sender) const {
  if (receiver == sender) return self_weight(receiver);
  const auto neighbors = row(receiver);
  GOSSIP_CHECK(sender >= 0 && sender < size(), "A mixing matrix of {} ranks has no column {}",
               size(), sender);
  const auto found =
      std::lower_bound(neighbors.begin(), neighbors.end(), Neighbor{sender, 0.0}, is_before);
  return found != neighbors.end() && found->rank == sender ? found->weight : 0.0;
}

double MixingMatrix::self_weight(Rank rank) const {
  GOSSIP_CHECK(rank >= 0 && rank < size(), "A mixing matrix of {} ranks has no rank {}", size(),
               rank);
  return self_weights_[index(rank)];
}

std::span<const Neighbor> MixingMatrix::row(Rank receiver) const {
  GOSSIP_CHECK(receiver >= 0 && receiver < size(), "A mixing matrix of {} ranks has no row {}",
               size(), receiver);
  return rows_[index(receiver)];
}

std::span<const Neighbor> MixingMatrix::column(Rank sender) const {
  GOSSIP_CHECK(sender >= 0 && sender < size(), "A mixing matrix of {} ranks has no column {}",
               size(), sender);
  return columns_[index(sender)];
}

std::vector<std::vector<double>> MixingMatrix::rows() const {
  std::vector<std::vector<double>> result(rows_.size(), std::vector<double>(rows_.size(), 0.0));
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    result[i][i] = self_weights_[i];
    for (const Neighbor& neighbor : rows_[i]) result[i][index(neighbor.rank)] = neighbor.weight;
  }
  return result;
}

bool MixingMatrix::is_row_stochastic() const { return !find_row_fault(*this); }

bool MixingMatrix::is_column_stochastic() const { return !find_column_fault(*this); }

bool MixingMatrix::is_doubly_stochastic() const {
  return is_row_stochastic() && is_column_stochastic();
}

bool MixingMatrix::is_symmetric() const {
  const auto are_same = [](const Neighbor& a, const Neighbor& b) {
    return a.rank == b.rank && a.weight == b.weight;
  };
  return std::equal(
      rows_.begin(), rows_.end(), columns_.begin(), [&](const auto& row, const auto& column) {
        return std::equal(row.begin(), row.end(), column.begin(), column.end(), are_same);
      });
}

void validate_row_stochastic(const MixingMatrix& matrix, std::string_view name) {
  const auto fault = find_row_fault(matrix);
  GOSSIP_CHECK(!fault, "{} is not row stochastic: {}", name, *fault);
}

void validate_column_stochastic(const MixingMatrix& matrix, std::string_view name) {
  const auto fault = find_column_fault(matrix);
  GOSSIP_CHECK(!fault, "{} is not column stochastic: {}", name, *fault);
}

void validate_doubly_stochastic(const MixingMatrix& matrix, std::string_view name) {
  auto fault = find_row_fault(matrix);
  if (!fault) fault = find_column_fault(matrix);
  GOSSIP_CHECK(!fault, "{} is not doubly stochastic: {}", name, *fault);
}

}  // namespace gossip::topology
