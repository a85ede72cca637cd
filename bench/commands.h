// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file The subcommands of gossip-bench. docs/benchmarks.md defines what each prints. All are
/// collective over the session.

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <libgossip/runtime/session.h>

namespace gossip::bench {

/// Two ranks average a vector of `bytes` through PairExchange, against memcpy and MPI_Allreduce.
void pair_command(Session& session, std::size_t bytes, int repetitions);

/// A ring averages vectors of `bytes` through the Mixer, against MPI_Sendrecv.
void neighbor_command(Session& session, std::size_t bytes, int rounds, int repetitions);

inline constexpr std::array kHostsFigures{"exchange", "allreduce", "steps", "slow", "compute"};

/// How `hosts` measures.
struct HostsOptions {
  std::size_t bytes = 0;             ///< of the model
  std::chrono::milliseconds step{};  ///< that a step waits or computes
  double seconds = 0.0;              ///< of steps of each contender in each repetition
  int repetitions = 0;
  double exchanges_per_step = 1.0;
  std::vector<std::string> figures;  ///< some of kHostsFigures; empty: all
  std::string link = "none";         ///< what limits each host's link, as scripts/hosts --rate
};

/// One rank on each of several hosts: steps with gossip, with all-reduce and without communication.
void hosts_command(Session& session, const HostsOptions& options);

/// How `doctor` examines.
struct DoctorOptions {
  std::chrono::seconds time{};  ///< no further pairs after that
  std::string out;              ///< JSON; empty: none
};

/// One rank of each host: which transports work between which hosts, how well, and what to set.
void doctor_command(Session& session, const DoctorOptions& options);

/// How far averaging without gradients moves the mean of the ranks' models: AsyncGossip, and
/// AD-PSGD, which keeps it.
void drift_command(Session& session, int steps, int repetitions);

/// One process: how old what a rank knows of the others is, among `ranks` threads on a ring, each
/// with its communication thread.
void membership_command(Session& session, int ranks, double seconds);

/// One process: the flow of DADAO over six vectors of `bytes`, in bytes per second, against a copy
/// of as many bytes.
void dadao_command(Session& session, std::size_t bytes, int repetitions);

/// From construction to the end of the first round of a model like ResNet-50, against touching and
/// copying its bytes.
void setup_command(Session& session, int repetitions);

/// Steps of every synchronous optimizer of the factory beside those of gossip-sgd: 2 ranks, 44 MB,
/// a step waits 100 ms. `only`: some of them; empty: all. A method gets fewer repetitions, but at
/// least one, when it has taken `most_seconds`.
void optimizers_command(Session& session, const std::vector<std::string>& only, int repetitions,
                        double most_seconds);

/// How long training stands still while five copies of a model of `bytes` are saved, against a copy
/// of them; and how long a resume takes. 1 rank.
void checkpoint_command(Session& session, std::size_t bytes, int repetitions);

/// A training iteration with GossipSGD on one rank, against plain LibTorch.
void overhead_command(Session& session, int iterations, int repetitions);

}  // namespace gossip::bench
