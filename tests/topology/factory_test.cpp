// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <set>

#include <libgossip/topology/checks.h>
#include <libgossip/topology/factory.h>
#include <libgossip/topology/hierarchical.h>
#include <libgossip/topology/weights.h>

#include "support/temporary_folder.h"
#include "topology_test_support.h"

namespace gossip::topology {
namespace {

/// The names that need no parameter.
std::vector<std::string> plain_names() {
  std::vector<std::string> names;
  for (const TopologyName& known : topology_names()) {
    const std::string name(known.name.substr(0, known.name.find(':')));
    if (name != "file" && name != "lazy") names.push_back(name);
  }
  return names;
}

bool exists(const std::string& name, int size) {
  return name != "hypercube" || (size & (size - 1)) == 0;
}

TEST(Factory, EveryNameGivesADoublyStochasticConnectedScheduleOfEverySize) {
  for (const auto& name : plain_names()) {
    for (int size = 1; size <= 64; ++size) {
      if (!exists(name, size)) continue;
      SCOPED_TRACE(name + " of " + std::to_string(size));
      const Schedule schedule = make_schedule(name, size, 3, test::hosts_of_size(size));

      EXPECT_EQ(schedule.name(), name);
      EXPECT_EQ(schedule.size(), size);
      EXPECT_NO_THROW(validate_doubly_stochastic(schedule, 8));
      EXPECT_NO_THROW(validate_connected(schedule));
    }
  }
}

TEST(Factory, EveryRankGetsTheSameSchedule) {
  for (const auto& name : plain_names()) {
    for (const int size : {1, 2, 8, 16}) {
      const Schedule mine = make_schedule(name, size, 42, test::hosts_of_size(size));
      const Schedule yours = make_schedule(name, size, 42, test::hosts_of_size(size));
      for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(mine.matrix(round).rows(), yours.matrix(round).rows()) << name << size;
      }
    }
  }
}

TEST(Factory, SeedsMatterToRandomTopologiesOnly) {
  for (const auto& name : plain_names()) {
    const auto rows = [&](std::uint64_t seed) {
      return make_schedule(name, 16, seed, test::hosts_of_size(16)).matrix(0).rows();
    };
    EXPECT_EQ(rows(1) != rows(2), name.starts_with("random-")) << name;
  }
}

TEST(Factory, ListsEveryNameOnceWithADescription) {
  std::set<std::string_view> names;
  for (const TopologyName& known : topology_names()) {
    EXPECT_TRUE(names.insert(known.name).second) << known.name;
    EXPECT_GT(known.description.size(), 10U);
    EXPECT_NE(known.description.back(), '.');
    EXPECT_EQ(known.description.find('\n'), std::string_view::npos);
  }
  EXPECT_EQ(names.size(), 19U);
}

TEST(Factory, TakesADegree) {
  EXPECT_EQ(make_graph("random-regular:6", 16, 1).max_degree(), 6);
  EXPECT_EQ(make_graph("random-regular", 16, 1).max_degree(), 4);
  EXPECT_EQ(make_graph("random-regular", 4, 1).max_degree(), 3);
  test::expect_error([] { (void)make_schedule("random-regular:x", 8); },
                     {"random-regular:x", "number of neighbors"});
  test::expect_error([] { (void)make_schedule("random-regular:", 8); }, {"number of neighbors"});
  test::expect_error([] { (void)make_schedule("random-regular:3", 7); }, {"take 2 or 4"});
}

TEST(Factory, TakesTheSidesOfGridsAndTori) {
  for (const std::string name : {"grid:2x16", "torus:4x8", "torus:2x4x4", "grid:2x2x2x4"}) {
    const Schedule schedule = make_schedule(name, 32);
    EXPECT_EQ(schedule.name(), name);
    EXPECT_NO_THROW(validate_doubly_stochastic(schedule));
    EXPECT_NO_THROW(validate_connected(schedule));
    EXPECT_EQ(make_graph(name, 32).name(), name);
    EXPECT_EQ(make_schedule("lazy:" + name, 32).matrix(0).rows(), lazy(schedule.matrix(0)).rows());
  }
  EXPECT_EQ(make_graph("torus:2x16", 32).max_degree(), 3);
  EXPECT_EQ(make_graph("torus:4x8", 32).max_degree(), 4);
  EXPECT_EQ(make_graph("torus:1x1", 1).num_arcs(), 0);
}

TEST(Factory, RefusesSidesThatDoNotFit) {
  const auto refused = [](const std::string& name, int size,
                          const std::vector<std::string>& parts) {
    SCOPED_TRACE(name);
    test::expect_error([&] { (void)make_schedule(name, size); }, parts);
  };
  refused("torus:4x4", 8, {"'torus:4x4' has 16 ranks", "are 8", "'torus'"});
  refused("grid:2x3x4", 12, {"has 24 ranks", "are 12", "'grid'"});
  refused("grid:0x8", 8, {"'grid:0x8' has a side of 0", "at least 1"});
  refused("torus:-2x-4", 8, {"side of -2", "at least 1"});
  refused("torus:8", 8, {"'torus:8' has one side only", "'ring'"});
  refused("grid:8", 8, {"one side only", "'path'"});
  for (const std::string sides : {"", "x", "4x", "x2", "4xx2", "axb", "4x2y", "4 x 2", "4X2",
                                  "+4x2", "4.0x2", "4,2", "4x2:", "0x4 x2"}) {
    refused("torus:" + sides, 8, {"'torus:" + sides + "'"});
  }
  refused("torus:4xa", 8, {"'torus:4xa'", "whole numbers", "torus:3x5", "torus:2x3x4"});
  refused("grid:99999999999x1", 8, {"side of 99999999999", "multiply to 8"});
  // 2^64 and 2^33 + 8: products that would wrap around.
  refused("grid:65536x65536x65536x65536", 8, {"more than 2147483647 ranks", "are 8"});
  refused("torus:1073741825x8", 8, {"more than 2147483647 ranks"});
}

TEST(Factory, MakesStaticTopologiesLazy) {
  const Schedule schedule = make_schedule("lazy:ring", 8);

  EXPECT_EQ(schedule.name(), "lazy:ring");
  EXPECT_EQ(schedule.matrix(0).rows(), lazy(metropolis(ring(8))).rows());
  EXPECT_EQ(make_schedule("lazy:random-regular:3", 8, 1).max_degree(1), 3);
  test::expect_error([] { (void)make_schedule("lazy:one-peer-exponential", 8); },
                     {"lazy:one-peer-exponential", "static"});
  test::expect_error([] { (void)make_schedule("lazy", 8); }, {"lazy:ring"});
  test::expect_error([] { (void)make_schedule("lazy:rnig", 8); }, {"rnig", "ring"});
}

TEST(Factory, ReadsFiles) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "edges.txt").string();
  test::write_file(path, "0 1\n1 2\n");

  const Schedule schedule = make_schedule("file:" + path, 3);

  EXPECT_EQ(schedule.matrix(0).rows(), metropolis(topology::path(3)).rows());
  EXPECT_EQ(make_graph("file:" + path, 3).num_arcs(), 4);
  test::expect_error([&] { (void)make_schedule("file:" + path, 4); }, {path, "3 ranks", "are 4"});
  std::filesystem::remove(path);
  test::expect_error([&] { (void)make_schedule("file:" + path, 3); }, {"Cannot open", path});
  test::expect_error([] { (void)make_schedule("file", 3); }, {"path", "file:edges.txt"});
  test::expect_error([] { (void)make_schedule("file:", 3); }, {"path", "file:edges.txt"});
}

TEST(Factory, TakesTheHostsOfTheRanks) {
  const Hosts hosts = test::hosts_of_size(8);
  const Schedule schedule = make_schedule("hierarchical-ring", 8, 0, hosts);

  EXPECT_EQ(schedule.matrix(0).rows(),
            hierarchical_weights(hierarchical_ring(hosts), hosts).rows());
  EXPECT_EQ(make_graph("hierarchical-exponential", 8, 0, hosts).num_arcs(), 26);
  EXPECT_EQ(make_schedule("lazy:hierarchical-ring", 8, 0, hosts).matrix(0).rows(),
            lazy(schedule.matrix(0)).rows());
  for (const char* name :
       {"hierarchical-ring", "hierarchical-exponential", "hierarchical-one-peer"}) {
    test::expect_error([&] { (void)make_schedule(name, 8); }, {name, "not known", "hosts_of"});
    test::expect_error([&] { (void)make_schedule(name, 9, 0, hosts); },
                       {name, "for 9 ranks", "those of 8"});
    test::expect_error([&] { (void)make_schedule(std::string(name) + ":", 8, 0, hosts); },
                       {name, "path of a topology.conf"});
  }
  test::expect_error([&] { (void)make_graph("hierarchical-one-peer", 8, 0, hosts); },
                     {"hierarchical-one-peer", "static"});
}

TEST(Factory, OrdersHostsByTheirSwitches) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "topology.conf";
  test::write_file(path, "SwitchName=a Nodes=n[0,2]\nSwitchName=b Nodes=n[1,3]\n");
  const Hosts hosts({"n0", "n1", "n2", "n3"});

  const Graph graph = make_graph("hierarchical-ring:" + path.string(), 4, 0, hosts);

  EXPECT_TRUE(graph.has_arc(0, 2) && graph.has_arc(2, 1) && graph.has_arc(1, 3));
  EXPECT_FALSE(graph.has_arc(0, 1) || graph.has_arc(2, 3));
  test::write_file(path, "SwitchName=a\n");
  test::expect_error(
      [&] { (void)make_schedule("hierarchical-one-peer:" + path.string(), 4, 0, hosts); },
      {path.string() + ":1:", "Nodes="});
}

TEST(Factory, RefusesUnknownNamesAndSuggests) {
  test::expect_error([] { (void)make_schedule("rnig", 4); },
                     {"topology", "'rnig'", "'ring'", "one-peer-exponential"});
  test::expect_error([] { (void)make_schedule("one-peer-exponental", 4); },
                     {"Did you mean", "'one-peer-exponential'"});
  test::expect_error([] { (void)make_schedule("", 4); }, {"topology"});
}

TEST(Factory, RefusesParametersWhereThereAreNone) {
  test::expect_error([] { (void)make_schedule("ring:4", 4); }, {"ring", "no parameter", "'4'"});
  test::expect_error([] { (void)make_schedule("random-matching:4", 4); }, {"no parameter"});
}

TEST(Factory, GraphsAreStatic) {
  test::expect_error([] { (void)make_graph("one-peer-exponential", 4); },
                     {"one-peer-exponential", "static"});
  test::expect_error([] { (void)make_graph("lazy:ring", 4); }, {"lazy:ring", "not one graph"});
  EXPECT_EQ(make_graph("torus", 12).name(), "torus");
}

TEST(Factory, RefusesSizesThatDoNotExist) {
  test::expect_error([] { (void)make_schedule("hypercube", 12); }, {"8 and 16"});
  for (const auto& name : plain_names()) {
    test::expect_error([&] { (void)make_schedule(name, 0); }, {name, "at least 1 rank", "0"});
  }
}

}  // namespace
}  // namespace gossip::topology
