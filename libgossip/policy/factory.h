// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Policies by name.

#include <memory>
#include <string_view>

#include <libgossip/policy/wait.h>

namespace gossip::policy {

/// The policy that `text` names: "all", "fastest:K", "deadline:SECONDS", "deadline:SECONDS:QUORUM",
/// "adaptive" (with the defaults of its options and this `cap`), "stale:ROUNDS" or "stale" (4).
/// Throws gossip::Error for an unknown name (with the nearest ones) and a wrong parameter, with the
/// text and what would be right.
[[nodiscard]] std::unique_ptr<WaitPolicy> make_wait_policy(std::string_view text,
                                                           double cap = kForever);

}  // namespace gossip::policy
