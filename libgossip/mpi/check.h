// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Return codes of MPI become exceptions. They exist at all only on communicators and windows whose
/// error handler is MPI_ERRORS_RETURN, as those of this room are.

#include <source_location>

#include <libgossip/mpi/serial.h>

namespace gossip::mpi::detail {

/// Throws gossip::MpiError, with the place, the call's text and MPI's own message, unless `code` is
/// MPI_SUCCESS.
void check(int code, const char* call,
           std::source_location where = std::source_location::current());

}  // namespace gossip::mpi::detail

/// Makes a call of MPI, while no other thread makes one, and throws gossip::MpiError when it fails.
#define GOSSIP_MPI(call)                    \
  ::gossip::mpi::detail::check(             \
      [&] {                                 \
        const ::gossip::mpi::Serial serial; \
        return (call);                      \
      }(),                                  \
      #call)
