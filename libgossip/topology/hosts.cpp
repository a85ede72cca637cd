// SPDX-License-Identifier: Apache-2.0
#include <map>

#include <libgossip/base/error.h>
#include <libgossip/topology/hosts.h>

namespace gossip::topology {

Hosts::Hosts(const std::vector<std::string>& host_of_rank, const std::vector<std::string>& names) {
  GOSSIP_CHECK(names.empty() || names.size() == host_of_rank.size(),
               "{} ranks have {} names of hosts; give one a rank, or none", host_of_rank.size(),
               names.size());
  std::map<std::string, int> numbers;
  for (std::size_t rank = 0; rank < host_of_rank.size(); ++rank) {
    const auto [known, is_new] = numbers.insert({host_of_rank[rank], num_hosts()});
    if (is_new) {
      ranks_.emplace_back();
      names_.push_back(names.empty() ? host_of_rank[rank] : names[rank]);
    }
    host_of_.push_back(known->second);
    ranks_[static_cast<std::size_t>(known->second)].push_back(static_cast<Rank>(rank));
  }
}

int Hosts::host_of(Rank rank) const {
  GOSSIP_CHECK(rank >= 0 && rank < size(), "There is no rank {} among {}", rank, size());
  return host_of_[static_cast<std::size_t>(rank)];
}

const std::vector<Rank>& Hosts::ranks_on(int host) const {
  GOSSIP_CHECK(host >= 0 && host < num_hosts(), "There is no host {} among {}", host, num_hosts());
  return ranks_[static_cast<std::size_t>(host)];
}

const std::string& Hosts::name(int host) const {
  GOSSIP_CHECK(host >= 0 && host < num_hosts(), "There is no host {} among {}", host, num_hosts());
  return names_[static_cast<std::size_t>(host)];
}

Hosts Hosts::reordered(const std::vector<int>& order) const {
  GOSSIP_CHECK(order.size() == ranks_.size(), "An order of {} hosts, but there are {}",
               order.size(), num_hosts());
  Hosts result;
  result.host_of_.assign(host_of_.size(), -1);
  for (std::size_t host = 0; host < order.size(); ++host) {
    for (const Rank rank : ranks_on(order[host])) {
      int& number = result.host_of_[static_cast<std::size_t>(rank)];
      GOSSIP_CHECK(number < 0, "The order of hosts has {} twice", order[host]);
      number = static_cast<int>(host);
    }
    result.ranks_.push_back(ranks_on(order[host]));
    result.names_.push_back(name(order[host]));
  }
  return result;
}

}  // namespace gossip::topology
