// SPDX-License-Identifier: Apache-2.0
#include <libgossip/base/error.h>
#include <libgossip/transport/shared/window_region.h>

namespace gossip::transport::shared {

WindowRegion::WindowRegion(const mpi::Communicator& host, std::vector<Rank> index_in_host,
                           std::size_t bytes)
    : index_in_host_(std::move(index_in_host)), window_(host, bytes) {}

std::span<std::byte> WindowRegion::of(Rank rank) const {
  const Rank index = index_in_host_[static_cast<std::size_t>(rank)];
  GOSSIP_ASSERT(index >= 0, "rank {} runs on another host", rank);
  return window_.of(index);
}

}  // namespace gossip::transport::shared
