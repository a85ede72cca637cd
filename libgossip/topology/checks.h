// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What optimizers ask of a schedule before they start.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <libgossip/base/types.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// For `rounds`: one period, or the first 64 rounds of a schedule that never repeats.
inline constexpr std::int64_t kWholePeriod = 0;

/// Throws gossip::Error unless in each of the first `rounds` rounds what a rank sends is what the
/// receiver expects: the `out` lists are the transpose of the `in` lists, weights included. An
/// inconsistent schedule would leave a rank waiting. Schedules of graphs and matrices always are.
void validate_consistent(const Schedule& schedule, std::int64_t rounds = kWholePeriod);

/// Throws gossip::Error unless the schedule is consistent and the matrices of its first `rounds`
/// rounds are row stochastic. The message names the round and the row with its sum, and says what
/// would do.
void validate_row_stochastic(const Schedule& schedule, std::int64_t rounds = kWholePeriod);

/// The same for columns.
void validate_column_stochastic(const Schedule& schedule, std::int64_t rounds = kWholePeriod);

/// The same for rows and columns.
void validate_doubly_stochastic(const Schedule& schedule, std::int64_t rounds = kWholePeriod);

/// Throws gossip::Error, which names a round, a rank and what would do, unless the matrices of one
/// period are symmetric (of the first 64 rounds where there is none), with at most `most_neighbors`
/// neighbors a rank: as many as a message can name.
void validate_symmetric(const Schedule& schedule, std::size_t most_neighbors);

/// The smallest number of first rounds whose arcs together form a strongly connected graph; nothing
/// when `max_rounds` are not enough. 0 for one rank.
[[nodiscard]] std::optional<std::int64_t> rounds_to_connect(const Schedule& schedule,
                                                            std::int64_t max_rounds);

/// Throws gossip::Error, naming two ranks without a way from one to the other, unless the first
/// `rounds` rounds together connect all ranks.
void validate_connected(const Schedule& schedule, std::int64_t rounds = kWholePeriod);

/// Rank 0 warns when the rounds of a period (1000 of a schedule that never repeats) do not connect
/// all ranks. Local.
void warn_if_apart(Rank self, const Schedule& schedule);

/// Throws gossip::Error unless a topology of this name, made for `size` ranks, is for a group of
/// `ranks`.
void check_size(std::string_view name, int size, int ranks);

/// Throws gossip::Error, which names the topology and what would do, unless a rank can go on
/// without a neighbor: they are mutual in every round, and not more than `most_neighbors`, as many
/// as its messages can name. Local.
void check_may_drop(const Schedule& schedule, std::size_t most_neighbors);

}  // namespace gossip::topology
