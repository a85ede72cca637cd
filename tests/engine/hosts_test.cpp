// SPDX-License-Identifier: Apache-2.0
// Topologies that know hosts, on ranks: GOSSIP_RANKS_PER_MEMORY makes several hosts of one.
#include <chrono>
#include <cmath>
#include <cstdlib>

#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/topology/factory.h>
#include <libgossip/topology/hierarchical.h>
#include <libgossip/transport/hosts.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using transport::Group;

int number_in_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

TEST(HostsOfRanks, AreThoseThatShareMemory) {
  test::on_ranks(0, [](Group& group) {
    const topology::Hosts hosts = transport::hosts_of(group);

    const int machines = number_in_environment("GOSSIP_TEST_HOSTS", 1);
    const int together = number_in_environment("GOSSIP_RANKS_PER_MEMORY", group.size() / machines);
    ASSERT_EQ(hosts.size(), group.size());
    for (Rank rank = 0; rank < group.size(); ++rank) {
      EXPECT_EQ(hosts.host_of(rank), rank / together) << "rank " << rank;
      EXPECT_EQ(hosts.host_of(rank) == hosts.host_of(group.rank()),
                rank == group.rank() || group.shares_memory_with(rank));
    }
    const std::string own = hosts.name(hosts.host_of(group.rank()));
    EXPECT_EQ(own, transport::host_name());
    if (machines > 1) {
      EXPECT_EQ(own, "host" + std::to_string(1 + group.rank() / together));
    }
  });
}

TEST(HierarchicalTopologies, MixToTheMeanOnRanks) {
  test::on_ranks(0, [](Group& group) {
    const topology::Hosts hosts = transport::hosts_of(group);
    std::vector<std::vector<double>> starts;
    double mean = 0.0;
    for (Rank rank = 0; rank < group.size(); ++rank) {
      starts.push_back({test::start_value(rank, 0, 0)});
      mean += starts.back()[0] / group.size();
    }
    for (const char* name :
         {"hierarchical-ring", "hierarchical-exponential", "hierarchical-one-peer"}) {
      SCOPED_TRACE(name);
      const topology::Schedule schedule = topology::make_schedule(name, group.size(), 0, hosts);
      std::vector<std::vector<double>> expected = starts;
      std::vector<double> own = starts[static_cast<std::size_t>(group.rank())];
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, std::chrono::seconds(30));

      for (std::int64_t round = 0; round < 200; ++round) {
        mixer.mix(round);
        expected = test::times(schedule, round, expected);
        if (round < 20) {
          EXPECT_NEAR(own[0], expected[static_cast<std::size_t>(group.rank())][0], 1e-12) << round;
        }
      }
      EXPECT_NEAR(own[0], mean, 1e-9);
    }
  });
}

}  // namespace
}  // namespace gossip::engine
