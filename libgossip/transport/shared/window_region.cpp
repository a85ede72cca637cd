// SPDX-License-Identifier: Apache-2.0
#include <libgossip/transport/shared/window_region.h>

namespace gossip::transport::shared {

WindowRegion::WindowRegion(const mpi::Communicator& host, std::size_t bytes)
    : window_(host, bytes) {}

std::span<std::byte> WindowRegion::of(Rank rank) const { return window_.of(rank); }

}  // namespace gossip::transport::shared
