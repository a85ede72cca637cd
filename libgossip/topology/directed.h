// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The two matrices of methods for directed graphs, and rounds in which only some ranks send.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// The arcs of `schedule` with weights whose rows sum to 1: its own where they do in every round it
/// is checked for, else each rank averages itself and its in-neighbors evenly.
[[nodiscard]] Schedule with_row_weights(const Schedule& schedule);

/// The arcs of `schedule` with weights whose columns sum to 1: its own where they do, else each
/// rank splits what it has evenly among itself and its out-neighbors.
[[nodiscard]] Schedule with_column_weights(const Schedule& schedule);

/// Which ranks take part in which round: a pure function. For matrices it must be the same on every
/// rank; an optimizer asks it only of its own rank. Cheap to copy; immutable. Threads: const member
/// functions may run at the same time.
class Sampling {
 public:
  using Function = std::function<bool(std::int64_t round, Rank rank)>;

  /// What `is_active` says, for example by each rank's energy; it repeats after `period` rounds, or
  /// never when that is 0. `is_active` must be pure and callable from several threads.
  Sampling(std::string name, int size, int period, Function is_active);

  /// Round k uses `sets[k mod sets.size()]`. Throws gossip::Error for no sets, and for a rank
  /// outside 0..size-1.
  Sampling(int size, std::vector<std::vector<Rank>> sets);

  /// Every rank in every round.
  [[nodiscard]] static Sampling everyone(int size);

  /// `count` different ranks each round, every choice with the same probability. Throws
  /// gossip::Error unless 1 <= count <= size.
  [[nodiscard]] static Sampling uniform(int size, int count, std::uint64_t seed);

  [[nodiscard]] bool is_active(std::int64_t round, Rank rank) const {
    return function_(round, rank);
  }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] int period() const noexcept { return period_; }

 private:
  std::string name_;
  int size_;
  int period_;
  Function function_;
};

/// The arcs of `schedule` whose sender is active. Each rank averages itself and its active
/// in-neighbors evenly: row stochastic. Throws gossip::Error when the sizes differ.
[[nodiscard]] Schedule sampled_rows(const Schedule& schedule, const Sampling& sampling);

/// The same arcs; each active rank splits what it has evenly among itself and its out-neighbors,
/// the others keep theirs: column stochastic.
[[nodiscard]] Schedule sampled_columns(const Schedule& schedule, const Sampling& sampling);

}  // namespace gossip::topology
