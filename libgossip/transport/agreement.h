// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Start-up checks that all ranks make together.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <libgossip/transport/group.h>

namespace gossip::transport {

/// Throws JointError on *every* rank when the ranks' texts differ: the message names `what`, the
/// first rank that differs from rank 0, and the first line in which their texts differ. Collective.
void require_agreement(Group& group, std::string_view what, std::string_view text);

/// The same for texts that were gathered already, by rank. Local.
void require_agreement(const std::vector<std::string>& texts, std::string_view what);

/// Runs `check` on this rank; when it throws a std::exception on any rank, all ranks throw that
/// message, so that nobody goes on into a collective call alone. Collective.
void check_together(Group& group, const std::function<void()>& check);

}  // namespace gossip::transport
