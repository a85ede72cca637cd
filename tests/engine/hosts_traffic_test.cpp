// SPDX-License-Identifier: Apache-2.0
// What topologies send from host to host, as their network devices count it: see scripts/hosts.
#include <chrono>
#include <fstream>

#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/topology/factory.h>
#include <libgossip/topology/hierarchical.h>
#include <libgossip/transport/hosts.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using transport::Group;

double bytes_sent_by_this_host() {
  std::ifstream counter("/sys/class/net/eth0/statistics/tx_bytes");
  double bytes = -1.0;
  counter >> bytes;
  EXPECT_GT(bytes, 0.0) << "there is no network device eth0";
  return bytes;
}

TEST(HostsTraffic, IsThatOfTheMessagesBetweenHosts) {
  test::on_ranks(0, [](Group& group) {
    constexpr int kRounds = 12;
    const topology::Hosts hosts = transport::hosts_of(group);
    const bool counts = hosts.ranks_on(hosts.host_of(group.rank())).front() == group.rank();
    ASSERT_GT(hosts.num_hosts(), 1) << "to be run by scripts/hosts";
    std::vector<float> values(1 << 18, 1.0F);
    const auto model_bytes = static_cast<double>(values.size() * sizeof(float));
    for (const char* name :
         {"ring", "hierarchical-ring", "hierarchical-one-peer", "one-peer-exponential"}) {
      const topology::Schedule schedule = topology::make_schedule(name, group.size(), 0, hosts);
      int messages = 0;
      Mixer mixer(group, schedule, {{std::span<float>(values)}}, std::chrono::seconds(30));
      group.barrier();
      const double before = bytes_sent_by_this_host();
      group.barrier();

      for (int round = 0; round < kRounds; ++round) {
        mixer.mix(round);
        messages += topology::arcs_between_hosts(schedule, hosts, round);
      }

      group.barrier();
      const double sent = counts ? bytes_sent_by_this_host() - before : 0.0;
      const double all = transport::mean_of(group, sent) * group.size();
      // Headers, acknowledgments and what is sent again come on top.
      EXPECT_GE(all, messages * model_bytes) << name;
      EXPECT_LE(all, 1.1 * messages * model_bytes) << name;
    }
  });
}

TEST(HostsTraffic, OfAMeanIsTheLeastThatHostsCanDoWith) {
  test::on_ranks(0, [](Group& group) {
    constexpr int kMeans = 8;
    const topology::Hosts hosts = transport::hosts_of(group);
    const int num_hosts = hosts.num_hosts();
    ASSERT_GT(num_hosts, 1) << "to be run by scripts/hosts";
    std::vector<float> values(1 << 18, 1.0F);
    const auto mean = group.make_mean(std::span<float>(values), std::chrono::seconds(30));
    group.barrier();
    const double before = bytes_sent_by_this_host();
    group.barrier();

    for (int i = 0; i < kMeans; ++i) {
      mean->start();
      mean->wait();
    }

    group.barrier();
    const double sent = bytes_sent_by_this_host() - before;
    const auto bytes = static_cast<double>(values.size() * sizeof(float));
    const double least = kMeans * 2.0 * (num_hosts - 1) / num_hosts * bytes;
    EXPECT_GE(sent, least);
    EXPECT_LE(sent, 1.1 * least);
  });
}

}  // namespace
}  // namespace gossip::engine
