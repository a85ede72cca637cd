// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// DADAO event by event on a problem from a file, to be compared with other implementations.

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace gossip::examples {

struct ReplayOptions {
  std::string problem;               ///< path
  std::vector<std::int64_t> events;  ///< ascending
  std::uint64_t seed = 1;
  double safety = 1.0;  ///< times the least rate of events
};

/// The file is JSON with `n d edges mu L h c x0 start`: h, c and x0 are [n][d], \f$ f_i(x) =
/// \frac12 \sum_k h_{ik} (x_k - c_{ik})^2 \f$, edges are pairs of workers in the order in which a
/// random number finds them, and start is "zero", "x0" (x = x0, all else 0) or "x0_in_both" (x = x~
/// = x0). Events are those of sim::PoissonClock.
///
/// The result has `constants` and, by the number of events, `{"10": {"t": ..., ...}, ...}`, `t
/// gradients communications` and the arrays `x x_tilde y y_tilde z z_tilde` ([n][d], each worker at
/// its own last event). Throws gossip::Error naming the file and what it lacks or has wrong.
[[nodiscard]] nlohmann::ordered_json replay_dadao(const ReplayOptions& options);

}  // namespace gossip::examples
