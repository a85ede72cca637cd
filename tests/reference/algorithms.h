// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The library's methods under the names of the reference, and their iterates.

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/transport/group.h>

#include "reference/problem.h"

namespace gossip::test {

/// Names of the algorithms that run_algorithm() knows.
[[nodiscard]] const std::vector<std::string>& known_algorithms();

/// Runs one worker a rank and returns, on every rank, the arrays and scalars after each of
/// `iterations` (ascending), in the format of the file: {"1": {"x": [[...]], ...}, ...}. Collective
/// over `group`, which has one rank a worker. Throws gossip::Error for an unknown algorithm, with
/// the nearest names.
[[nodiscard]] nlohmann::ordered_json run_algorithm(const ReferenceProblem& problem,
                                                   const std::string& algorithm,
                                                   transport::Group& group,
                                                   const std::vector<std::int64_t>& iterations);

}  // namespace gossip::test
