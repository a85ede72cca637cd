// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The few types that every room shares.

namespace gossip {

/// Number of a process (or thread, or virtual worker) within its group, from 0.
using Rank = int;

}  // namespace gossip
