// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Help for a name that does not exist.

#include <span>
#include <string>
#include <string_view>

namespace gossip {

/// One sentence for a name that is not among `known`: "There is no topology 'rnig'. Did you mean
/// 'ring'? Known: ...". `kind` is the word for what the name stands for. Near names are those
/// within an edit distance of 2, or a third of the name's length.
[[nodiscard]] std::string unknown_name(std::string_view kind, std::string_view name,
                                       std::span<const std::string> known);

}  // namespace gossip
