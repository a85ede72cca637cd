// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include <gmock/gmock.h>

#include <libgossip/topology/switches.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using testing::ElementsAre;

std::vector<std::string> names(const Hosts& hosts) {
  std::vector<std::string> result;
  for (int host = 0; host < hosts.num_hosts(); ++host) result.push_back(hosts.name(host));
  return result;
}

Hosts ordered(const Hosts& hosts, const std::string& text) {
  std::istringstream stream(text);
  return ordered_by_switches(hosts, stream, "conf");
}

const char* const kTree =
    "# two leaves below one spine\n"
    "SwitchName=leaf1 Nodes=node[1-2,5] LinkSpeed=100\n"
    "\n"
    "switchname=leaf0 NODES=node[3-4],login \\\n"
    "   LinkSpeed=100  # goes on\n"
    "SwitchName=spine Switches=leaf[0-1]\n";

TEST(Switches, OrderHostsDepthFirst) {
  const Hosts hosts = ordered(Hosts({"node5", "node4", "node1", "node3", "node5", "node2"}), kTree);

  EXPECT_THAT(names(hosts), ElementsAre("node3", "node4", "node1", "node2", "node5"));
  EXPECT_THAT(hosts.ranks_on(4), ElementsAre(0, 4));
}

TEST(Switches, KnowAHostByItsNameUpToTheDot) {
  EXPECT_THAT(names(ordered(Hosts({"node5.local", "node3.local"}), kTree)),
              ElementsAre("node3.local", "node5.local"));
}

TEST(Switches, LeaveHostsOfOneNameInTheirOrder) {
  const Hosts hosts = ordered(Hosts({"0", "1", "2"}, {"node2", "node1", "node2"}), kTree);

  EXPECT_THAT(names(hosts), ElementsAre("node1", "node2", "node2"));
  EXPECT_THAT(hosts.ranks_on(1), ElementsAre(0));
}

TEST(Switches, MayBeSeveralTrees) {
  EXPECT_THAT(names(ordered(Hosts({"b", "a"}), "SwitchName=x Nodes=a\nSwitchName=y Nodes=b\n")),
              ElementsAre("a", "b"));
}

TEST(Switches, NameTheLineThatIsWrong) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {"SwitchName=a Nodes=n[1-\n", {"conf:1:", "'n[1-' is not a list of hosts"}},
      {"SwitchName=a Nodes=x\nhello\n", {"conf:2:", "'hello' is not KEY=VALUE"}},
      {"SwitchName=a Nodes=\n", {"conf:1:", "'Nodes=' is not KEY=VALUE"}},
      {"\n\nBlockName=a Nodes=x\n", {"conf:3:", "'BlockName'", "topology/tree"}},
      {"Nodes=x\n", {"conf:1:", "no SwitchName="}},
      {"SwitchName=a\n", {"conf:1:", "'a' needs Nodes= or Switches="}},
      {"SwitchName=a Nodes=x Switches=b\n", {"conf:1:", "one of both"}},
      {"SwitchName=a Nodes=x\nSwitchName=a Nodes=y\n", {"conf:2:", "'a' repeats line 1"}},
      {"SwitchName=a Switches=b\n", {"conf:1:", "there is no switch 'b'"}},
      {"SwitchName=a Nodes=x\nSwitchName=b \\\nSwitches=a\nSwitchName=c Switches=a\n",
       {"conf:4:", "'a' is below another one already"}},
      {"SwitchName=a Switches=b\nSwitchName=b Switches=a\n", {"conf:2:", "in a ring"}},
      {"# nothing\n", {"conf: no switch in it"}},
      {"SwitchName=a Nodes=y\n", {"Host 'x' is not in conf"}},
  };
  for (const auto& [text, parts] : cases) {
    SCOPED_TRACE(text);
    test::expect_error([&, &text = text] { (void)ordered(Hosts({"x"}), text); }, parts);
  }
}

TEST(Switches, ComeFromAFileThatCanBeRead) {
  test::expect_error([] { (void)ordered_by_switches(Hosts({"x"}), "/no/such.conf"); },
                     {"Cannot open", "/no/such.conf"});
  test::expect_error([] { (void)ordered_by_switches(Hosts({"x"}), testing::TempDir()); },
                     {testing::TempDir(), "cannot be read"});
}

}  // namespace
}  // namespace gossip::topology
