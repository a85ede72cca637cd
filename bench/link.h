// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file What joins the hosts of a measurement.

#include <string>
#include <string_view>

namespace gossip::bench {

/// What TCP can carry in one direction over a link of "200mbit", "1gbit", "10gbit": of each
/// Ethernet frame of 1514 bytes 1448 are payload. 0 for "none", a link without limit. Throws
/// gossip::Error for other texts.
[[nodiscard]] double link_bytes_per_second(std::string_view link);

/// "Open MPI 5.0.11", "MPICH 5.0.2".
[[nodiscard]] std::string mpi_library();

}  // namespace gossip::bench
