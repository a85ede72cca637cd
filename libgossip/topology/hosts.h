// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which ranks run on which host.

#include <string>
#include <vector>

#include <libgossip/base/types.h>

namespace gossip::topology {

/// The hosts of the ranks 0..size-1, numbered from 0 in the order in which their first ranks
/// appear, or as reordered() says. Without a rank: hosts that are not known. Immutable.
///
/// transport::hosts_of() makes it for the ranks of a group.
///
/// Threads: const member functions may run at the same time.
class Hosts {
 public:
  /// Not known.
  Hosts() = default;

  /// By rank, any text that is the same for the ranks of one host and for no others; `names` are
  /// what the hosts are called, by rank, if that is something else: several hosts may have one
  /// name, and a host has that of its first rank. Throws gossip::Error unless there are as many.
  explicit Hosts(const std::vector<std::string>& host_of_rank,
                 const std::vector<std::string>& names = {});

  /// Number of ranks; 0 when not known.
  [[nodiscard]] int size() const noexcept { return static_cast<int>(host_of_.size()); }
  [[nodiscard]] bool is_known() const noexcept { return !host_of_.empty(); }
  [[nodiscard]] int num_hosts() const noexcept { return static_cast<int>(ranks_.size()); }

  /// Throws gossip::Error for a rank that is not there.
  [[nodiscard]] int host_of(Rank rank) const;

  /// The ranks of a host, ascending; at least one. Throws gossip::Error for a host that is not
  /// there.
  [[nodiscard]] const std::vector<Rank>& ranks_on(int host) const;

  /// What a host is called. Throws gossip::Error for a host that is not there.
  [[nodiscard]] const std::string& name(int host) const;

  /// The same hosts in another order: `order[i]` is the present number of what becomes host i.
  /// Throws gossip::Error unless it holds each number once.
  [[nodiscard]] Hosts reordered(const std::vector<int>& order) const;

 private:
  std::vector<int> host_of_;              // by rank
  std::vector<std::vector<Rank>> ranks_;  // by host
  std::vector<std::string> names_;        // by host
};

}  // namespace gossip::topology
