// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <libgossip/base/error.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/hosts.h>

namespace gossip::test {

/// One file of tests/reference.
inline nlohmann::json read_reference(const std::string& name) {
  std::ifstream stream(std::string(GOSSIP_TEST_REFERENCE_DIR) + "/" + name);
  return nlohmann::json::parse(stream);
}

/// The graph that the reference calls `family`.
inline topology::Graph reference_graph(const std::string& family, int size) {
  namespace t = gossip::topology;
  if (family == "complete") return t::complete(size);
  if (family == "ring" || family == "ring_lazy") return t::ring(size);
  if (family == "directed_ring") return t::directed_ring(size);
  if (family == "path") return t::path(size);
  if (family == "star") return t::star(size);
  if (family == "binary_tree") return t::binary_tree(size);
  if (family == "grid") return t::grid(size);
  if (family == "torus") return t::torus(size);
  if (family == "hypercube" || family == "hypercube_lazy") return t::hypercube(size);
  if (family == "static_exponential") return t::static_exponential(size);
  if (family == "symmetric_exponential") return t::symmetric_exponential(size);
  throw Error("no family " + family);
}

/// `per_host` ranks on each host, the last one with what is left.
inline topology::Hosts hosts_of_size(int size, int per_host = 4) {
  std::vector<std::string> host_of;
  for (Rank rank = 0; rank < size; ++rank) host_of.push_back(std::to_string(rank / per_host));
  return topology::Hosts(host_of);
}

/// Expects that `action` throws gossip::Error with all of `parts` in its message.
template <class Action>
void expect_error(Action&& action, const std::vector<std::string>& parts) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const auto& part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << "no '" << part << "' in: " << message;
    }
    return;
  }
  ADD_FAILURE() << "nothing was thrown, but '" << (parts.empty() ? "" : parts.front())
                << "' was expected";
}

}  // namespace gossip::test
