// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which way payloads go between hosts.

#include <memory>
#include <string>
#include <vector>

#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/network.h>
#include <libgossip/transport/transport_options.h>

namespace gossip::transport {

/// The network of one kind, kRma or kMessage. Collective.
[[nodiscard]] std::unique_ptr<Network> make_network(const mpi::Communicator& communicator,
                                                    TransportKind kind, std::size_t piece_bytes,
                                                    Background& background);

/// What the self-test of a network found; the same on all ranks.
struct TestResult {
  std::string error;      ///< of the first rank that failed; empty when all is well
  double seconds = 0.0;   ///< the slowest rank's
  std::string component;  ///< MPI's name for the windows, where it has one
};

/// Sends patterns along all edges at once, while the caller's thread makes no call of MPI, and
/// checks their order and every byte. Each rank names its `peers`, and is named by them.
/// Collective; takes at most two seconds.
[[nodiscard]] TestResult test_network(const mpi::Communicator& communicator, Network& network,
                                      const std::vector<Rank>& peers);

/// The network that `options` force, tested, or the one that works and is the faster in a short
/// race. Logs one line. Collective. Throws JointError when what is forced does not work: with MPI's
/// error, the component, and what to set.
[[nodiscard]] std::unique_ptr<Network> select_network(const mpi::Communicator& communicator,
                                                      const TransportOptions& options,
                                                      Background& background,
                                                      const std::vector<Rank>& peers);

}  // namespace gossip::transport
