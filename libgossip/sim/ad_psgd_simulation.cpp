// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/base/error.h>
#include <libgossip/sim/ad_psgd_simulation.h>

namespace gossip::sim {

ADPSGDSimulation::ADPSGDSimulation(const topology::Graph& graph, std::size_t num_elements,
                                   std::uint64_t seed)
    : graph_(graph),
      group_(algorithm_, graph.size(), num_elements),
      generator_(seed),
      read_(static_cast<std::size_t>(graph.size()) * num_elements, 0.0),
      increment_(num_elements) {
  GOSSIP_CHECK(graph.is_undirected(), "AD-PSGD needs an undirected graph, but '{}' is directed.",
               graph.name());
  for (Rank worker = 0; worker < graph.size(); ++worker) {
    GOSSIP_CHECK(!graph.out_neighbors(worker).empty(), "Worker {} of '{}' has no neighbor.", worker,
                 graph.name());
  }
}

void ADPSGDSimulation::step(const PairSimulation::LocalStep& local_step) {
  const Rank worker = static_cast<Rank>(generator_.unit() * size());
  const std::vector<Rank>& neighbors = graph_.out_neighbors(worker);
  const double position = generator_.unit() * static_cast<double>(neighbors.size());
  const Rank peer = neighbors[static_cast<std::size_t>(position)];
  const auto read = std::span<double>(read_).subspan(
      static_cast<std::size_t>(worker) * increment_.size(), increment_.size());

  std::fill(increment_.begin(), increment_.end(), 0.0);
  local_step(worker, read, increment_);
  group_.play({group_.time(), worker, peer});
  group_.step(worker, increment_);
  std::copy(model(worker).begin(), model(worker).end(), read.begin());
}

}  // namespace gossip::sim
