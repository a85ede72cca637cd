// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The command line of the convex lab.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <libgossip/topology/graph.h>

#include "convex_lab/convex_problem.h"

namespace gossip::examples {

struct LabOptions {
  std::string problem = "quad";
  int workers = 16;
  std::size_t dimension = 4;
  std::size_t samples = 20;
  std::optional<double> mu;
  std::optional<double> lipschitz;
  double condition = 10.0;
  std::optional<double> heterogeneity;
  std::string data = "/usr/share/datasets/fashion-mnist";

  std::vector<std::string> topologies{"ring"};
  double graph_period = 1.0;
  std::vector<std::string> methods{"dadao"};
  std::optional<double> safety;
  bool bears_divergence = false;
  std::optional<double> lr;
  double events_per_gradient = 1.0;
  double active = 0.5;
  std::vector<std::string> slow_ranks;
  std::uint64_t seed = 1;
  double accuracy = 1e-10;
  double until = 0.0;           ///< 0: no limit
  double max_gradients = 1e6;   ///< of a worker
  double gradient_seconds = 0;  ///< on ranks: that a gradient takes at least
  std::string out;

  std::string replay;
  std::vector<std::int64_t> events{10, 1000, 5000};

  std::vector<double> slowness;         ///< of each worker, 1 or more; from slow_ranks
  std::vector<topology::Graph> graphs;  ///< from topologies
  std::string resolved;                 ///< all options as TOML
};

/// Reads the command line. Nothing when there is nothing left to do (--help, --list), after
/// `speaks` printed it. `size`: ranks of the job. Throws gossip::Error for what cannot be right:
/// unknown options and names (with the near ones), numbers out of range, graphs that are not
/// connected. Local.
[[nodiscard]] std::optional<LabOptions> parse_lab_options(int argc, const char* const* argv,
                                                          int size, bool speaks);

/// The problem that the options name. Throws gossip::Error for mu <= 0 or > L and for data that
/// cannot be read.
[[nodiscard]] std::unique_ptr<const ConvexProblem> make_problem(const LabOptions& options);

}  // namespace gossip::examples
