// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/topology/weights.h>

namespace gossip::topology {
namespace {

/// The matrices of a period, one round after the other.
class MatrixSequence {
 public:
  explicit MatrixSequence(std::vector<MixingMatrix> matrices) : matrices_(std::move(matrices)) {}

  void operator()(std::int64_t round, Rank rank, Neighborhood& result) const {
    const auto& matrix = matrices_[static_cast<std::size_t>(round) % matrices_.size()];
    const auto in = matrix.row(rank);
    const auto out = matrix.column(rank);
    result.self_weight = matrix.self_weight(rank);
    result.in.assign(in.begin(), in.end());
    result.out.assign(out.begin(), out.end());
  }

 private:
  std::vector<MixingMatrix> matrices_;
};

MixingMatrix with_default_weights(const Graph& graph) {
  return graph.is_undirected() ? metropolis(graph) : uniform_in_degree(graph);
}

/// Puts the matrix into a list; an initializer list would copy it.
std::vector<MixingMatrix> only(MixingMatrix matrix) {
  std::vector<MixingMatrix> result;
  result.push_back(std::move(matrix));
  return result;
}

}  // namespace

struct Schedule::Impl {
  std::string name;
  int size;
  int period;
  NeighborhoodFunction neighborhood_of;
  int most_neighbors;
};

Schedule::Schedule(MixingMatrix matrix, std::string name)
    : Schedule(std::move(name), only(std::move(matrix))) {}

Schedule::Schedule(const Graph& graph) : Schedule(with_default_weights(graph), graph.name()) {}

Schedule::Schedule(std::string name, std::vector<MixingMatrix> matrices) {
  GOSSIP_CHECK(!matrices.empty(), "Schedule '{}' has no matrix, but needs at least 1", name);
  const int size = matrices.front().size();
  for (std::size_t round = 0; round < matrices.size(); ++round) {
    GOSSIP_CHECK(
        matrices[round].size() == size,
        "Schedule '{}' has a matrix of {} ranks in round 0 and one of {} ranks in round {}", name,
        size, matrices[round].size(), round);
  }
  const int period = narrow<int>(matrices.size());
  impl_ = std::make_shared<const Impl>(
      Impl{std::move(name), size, period, MatrixSequence(std::move(matrices)), size - 1});
}

Schedule::Schedule(std::string name, int size, int period, NeighborhoodFunction neighborhood_of,
                   std::optional<int> most_neighbors) {
  GOSSIP_CHECK(size >= 1, "Schedule '{}' has {} ranks, but needs at least 1", name, size);
  GOSSIP_CHECK(period >= 0, "Schedule '{}' has the period {}; use 0 if it never repeats", name,
               period);
  impl_ =
      std::make_shared<const Impl>(Impl{std::move(name), size, period, std::move(neighborhood_of),
                                        most_neighbors.value_or(size - 1)});
}

const std::string& Schedule::name() const noexcept { return impl_->name; }

int Schedule::size() const noexcept { return impl_->size; }

int Schedule::period() const noexcept { return impl_->period; }

void Schedule::neighborhood(std::int64_t round, Rank rank, Neighborhood& result) const {
  GOSSIP_CHECK(round >= 0, "Schedule '{}' starts with round 0, not {}", name(), round);
  GOSSIP_CHECK(rank >= 0 && rank < size(), "Schedule '{}' has the ranks 0..{}, not {}", name(),
               size() - 1, rank);
  impl_->neighborhood_of(round, rank, result);
}

void Schedule::neighborhood(std::int64_t round, Rank rank, const std::function<bool(Rank)>& is_live,
                            Neighborhood& result) const {
  neighborhood(round, rank, result);
  std::erase_if(result.out, [&](const Neighbor& neighbor) { return !is_live(neighbor.rank); });
  std::erase_if(result.in, [&](const Neighbor& neighbor) {
    const bool is_left_out = !is_live(neighbor.rank);
    if (is_left_out) result.self_weight += neighbor.weight;
    return is_left_out;
  });
}

MixingMatrix Schedule::matrix(std::int64_t round) const {
  std::vector<MixingMatrix::Entry> entries;
  Neighborhood own;
  for (Rank rank = 0; rank < size(); ++rank) {
    neighborhood(round, rank, own);
    entries.push_back({rank, rank, own.self_weight});
    for (const Neighbor& sender : own.in) entries.push_back({rank, sender.rank, sender.weight});
  }
  return {size(), entries};
}

int Schedule::max_degree(std::int64_t rounds) const {
  const std::int64_t last = period() > 0 ? std::min<std::int64_t>(rounds, period()) : rounds;
  std::size_t degree = 0;
  Neighborhood own;
  for (std::int64_t round = 0; round < last; ++round) {
    for (Rank rank = 0; rank < size(); ++rank) {
      neighborhood(round, rank, own);
      degree = std::max({degree, own.in.size(), own.out.size()});
    }
  }
  return narrow<int>(degree);
}

int Schedule::degree_bound() const {
  return period() > 0 ? max_degree(period()) : impl_->most_neighbors;
}

}  // namespace gossip::topology
