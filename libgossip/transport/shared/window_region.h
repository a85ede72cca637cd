// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A region in the shared memory of one host.

#include <libgossip/mpi/shared_window.h>
#include <libgossip/transport/region.h>

namespace gossip::transport::shared {

/// Collective over `host`, as mpi::SharedWindow. `index_in_host`: for every rank of the group its
/// rank in `host`, or -1.
class WindowRegion final : public Region {
 public:
  WindowRegion(const mpi::Communicator& host, std::vector<Rank> index_in_host, std::size_t bytes);

  [[nodiscard]] std::span<std::byte> of(Rank rank) const override;

 private:
  std::vector<Rank> index_in_host_;
  mpi::SharedWindow window_;
};

}  // namespace gossip::transport::shared
