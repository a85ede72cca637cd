// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The main function of a training program.

#include <functional>

#include <libgossip/runtime/session.h>

namespace gossip {

/// Makes the session and runs `body` with it; returns what `main` returns: 0, or what `body`
/// returned. An exception on one rank prints that rank and the message and ends all processes of
/// the job with status 1 within seconds: the other ranks, which may wait for this one, do not hang.
/// After a JointError, which all ranks throw, rank 0 prints it, and they end MPI in order.
///
///     int main(int argc, char** argv) {
///       return gossip::run_main(argc, argv, [&](gossip::Session& session) { ...; return 0; });
///     }
int run_main(int argc, char** argv, const std::function<int(Session&)>& body);

}  // namespace gossip
