// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file How one transport does between two hosts.

#include <cstddef>
#include <string>

#include <nlohmann/json.hpp>

#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/background.h>
#include <libgossip/transport/transport_options.h>

namespace gossip::bench {

/// What a test found; figures are 0 with an error.
struct PairTest {
  std::string error;           ///< empty when all is well
  std::string component;       ///< MPI's name for the windows, where it has one
  double latency_us = 0.0;     ///< of 8 bytes, one way
  double one_way = 0.0;        ///< MB/s from rank 0 to rank 1
  double both_ways = 0.0;      ///< MB/s in each direction, at once
  double while_busy_ms = 0.0;  ///< delivery of 1 MB while the target computes and calls nothing
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PairTest, error, component, latency_us, one_way, both_ways,
                                   while_busy_ms)

/// Tests a transport, kRma or kMessage, between the two ranks of `pair`. Never throws for a
/// transport that does not work. Takes some two seconds, a few more where it fails. Collective;
/// both ranks return the same.
[[nodiscard]] PairTest test_pair(const mpi::Communicator& pair, transport::TransportKind kind,
                                 std::size_t piece_bytes, transport::Background& background);

}  // namespace gossip::bench
