// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The mixing matrices of a method that goes in rounds.

#include <concepts>
#include <utility>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// The mixing matrices of a round.
struct Matrices {
  Schedule pull;  ///< R, of what is averaged
  Schedule push;  ///< C, of what is split; the same where a method needs one matrix only

  template <std::convertible_to<Schedule> One>
  Matrices(const One& one)  // NOLINT(google-explicit-constructor)
      : pull(one), push(pull) {}
  Matrices(Schedule rows, Schedule columns) : pull(std::move(rows)), push(std::move(columns)) {}
};

/// Which of them go into a mixing.
struct MatricesUsed {
  bool pull = true;
  bool push = false;
};

/// The most ranks that a rank receives from in one round, by either matrix in use; at least 1.
[[nodiscard]] int most_senders(const Matrices& matrices, const MatricesUsed& used);

/// The neighbors of `rank` in any round, by the matrices in use.
[[nodiscard]] std::vector<Rank> neighbors_of(Rank rank, const Matrices& matrices,
                                             const MatricesUsed& used);

}  // namespace gossip::topology
