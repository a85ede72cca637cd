// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Numbers from every rank for every other one.

#include <cstdint>
#include <span>
#include <vector>

#include <libgossip/mpi/communicator.h>

namespace gossip::mpi {

/// By rank: the number that it has for this one. `numbers`: those of this rank, by rank. Only those
/// other than 0 are sent: with 16384 ranks, all would be 2 GiB on every one of them. Collective and
/// blocking, as Communicator::all_gather().
[[nodiscard]] std::vector<std::uint64_t> exchange_numbers(const Communicator& communicator,
                                                          std::span<const std::uint64_t> numbers);

}  // namespace gossip::mpi
