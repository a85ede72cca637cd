// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The kind of group that a suite runs on. on_local_ranks.cpp makes it of threads,
/// on_process_ranks.cpp of the processes of the job; a test program has one of them.

#include <functional>
#include <vector>

#include <libgossip/transport/group.h>

namespace gossip::test {

/// The numbers of ranks that there can be: several of threads, one under the launcher.
std::vector<int> rank_counts();

/// Runs `body` on each of `size` ranks with that rank's group.
void on_ranks(int size, const std::function<void(transport::Group&)>& body);

}  // namespace gossip::test
