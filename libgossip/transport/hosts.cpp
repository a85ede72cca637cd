// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <unistd.h>
#include <vector>

#include <libgossip/transport/hosts.h>

namespace gossip::transport {

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

topology::Hosts hosts_of(Group& group) {
  Rank first = 0;
  while (first != group.rank() && !group.shares_memory_with(first)) ++first;
  std::vector<std::string> hosts;
  for (const Rank of_host : group.all_gather(first)) hosts.push_back(std::to_string(of_host));
  return topology::Hosts(hosts, group.all_gather(host_name()));
}

}  // namespace gossip::transport
