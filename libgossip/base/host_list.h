// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Lists of names as Slurm writes them.

#include <string>
#include <string_view>
#include <vector>

namespace gossip {

/// The names that a list such as "node[01-03,7],login" stands for, in its order: node01, node02,
/// node03, node7, login. A name may have several brackets: "rack[1-2]node[1-4]". Throws
/// gossip::Error, naming the list and what is wrong, for one that cannot be read, and for more than
/// 2^20 names or 2^26 characters of them.
[[nodiscard]] std::vector<std::string> expand_host_list(std::string_view list);

}  // namespace gossip
