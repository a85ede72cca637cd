// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <libgossip/topology/hosts.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using testing::ElementsAre;

TEST(Hosts, AreNotKnownWithoutRanks) {
  const Hosts hosts;
  EXPECT_FALSE(hosts.is_known());
  EXPECT_EQ(hosts.size(), 0);
  EXPECT_EQ(hosts.num_hosts(), 0);
}

TEST(Hosts, AreNumberedAsTheirFirstRanksAppear) {
  const Hosts hosts({"b", "a", "b", "c", "a"});

  EXPECT_TRUE(hosts.is_known());
  EXPECT_EQ(hosts.size(), 5);
  ASSERT_EQ(hosts.num_hosts(), 3);
  EXPECT_THAT(hosts.ranks_on(0), ElementsAre(0, 2));
  EXPECT_THAT(hosts.ranks_on(1), ElementsAre(1, 4));
  EXPECT_THAT(hosts.ranks_on(2), ElementsAre(3));
  EXPECT_EQ(hosts.name(0), "b");
  EXPECT_EQ(hosts.host_of(4), 1);
}

TEST(Hosts, MayShareANameOrHaveAnother) {
  const Hosts hosts({"0", "0", "2"}, {"vm", "vm.local", "vm"});

  ASSERT_EQ(hosts.num_hosts(), 2);
  EXPECT_EQ(hosts.name(0), "vm");
  EXPECT_EQ(hosts.name(1), "vm");
  test::expect_error([] { Hosts({"0", "1"}, {"a"}); }, {"2 ranks have 1 names"});
}

TEST(Hosts, CanBeReordered) {
  const Hosts hosts = Hosts({"b", "a", "b", "c"}).reordered({2, 0, 1});

  EXPECT_EQ(hosts.name(0), "c");
  EXPECT_THAT(hosts.ranks_on(1), ElementsAre(0, 2));
  EXPECT_EQ(hosts.host_of(1), 2);
  EXPECT_EQ(hosts.host_of(3), 0);
  test::expect_error([&] { (void)hosts.reordered({0, 1}); }, {"2 hosts", "there are 3"});
  test::expect_error([&] { (void)hosts.reordered({0, 1, 1}); }, {"1 twice"});
  test::expect_error([&] { (void)hosts.reordered({0, 1, 3}); }, {"no host 3"});
}

TEST(Hosts, RefuseWhatIsNotThere) {
  const Hosts hosts({"a", "b"});
  test::expect_error([&] { (void)hosts.host_of(2); }, {"no rank 2"});
  test::expect_error([&] { (void)hosts.host_of(-1); }, {"no rank -1"});
  test::expect_error([&] { (void)hosts.ranks_on(2); }, {"no host 2"});
  test::expect_error([&] { (void)hosts.name(-1); }, {"no host -1"});
}

}  // namespace
}  // namespace gossip::topology
