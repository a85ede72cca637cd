// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file The subcommands of gossip-bench. docs/benchmarks.md defines what each prints. All are
/// collective over the session.

#include <cstddef>

#include <libgossip/runtime/session.h>

namespace gossip::bench {

/// Two ranks average a vector of `bytes` through PairExchange, against memcpy and MPI_Allreduce.
void pair_command(Session& session, std::size_t bytes, int repetitions);

/// A ring averages vectors of `bytes` through the Mixer, against MPI_Sendrecv.
void neighbor_command(Session& session, std::size_t bytes, int rounds, int repetitions);

/// From construction to the end of the first round of a model like ResNet-50, against touching and
/// copying its bytes.
void setup_command(Session& session, int repetitions);

/// A training iteration with GossipSGD on one rank, against plain LibTorch.
void overhead_command(Session& session, int iterations, int repetitions);

}  // namespace gossip::bench
