// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Schedules in which every rank talks to at most one rank a round. All of them are doubly
/// stochastic in every round.

#include <cstdint>

#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// In round k, rank i receives from i - 2^(k mod t) (mod size), t = ceil(log2 size), with weight
/// 1/2 each. Name: "one-peer-exponential". For a power of two t rounds give the exact average.
/// (Assran et al. 2019; Ying et al. 2021.)
[[nodiscard]] Schedule one_peer_exponential(int size);

/// In each round the ranks form random pairs, each perfect matching with the same probability, and
/// both of a pair take their average. An odd size leaves one rank out. Never repeats.
/// Name: "random-matching".
[[nodiscard]] Schedule random_matching(int size, std::uint64_t seed);

}  // namespace gossip::topology
