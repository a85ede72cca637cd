// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <vector>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/topology/families.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {

void dadao_command(Session& session, std::size_t bytes, int repetitions) {
  constexpr std::size_t kVectors = 6;
  const algorithm::DADAO method(algorithm::dadao_constants(1.0, 10.0, topology::ring(16)));
  std::vector<std::vector<float>> values(kVectors, std::vector<float>(bytes / sizeof(float), 0.5F));
  std::vector<VectorView> state;
  for (std::vector<float>& vector : values) state.emplace_back(std::span<float>(vector));
  const std::vector<char> from(kVectors * bytes, 1);
  std::vector<char> to(kVectors * bytes, 2);

  const std::vector<Times> times =
      measure(session,
              {{"flow", [&] { method.flow(state, 0.1); }},
               {"memcpy", [&] { std::memcpy(to.data(), from.data(), from.size()); }}},
              repetitions);

  print_table(session, times);
  report(session, "dadao", "flow_over_memcpy", median_ratio(times[1], times[0]), "ratio",
         {{"bytes", kVectors * bytes}, {"dtype", "float32"}});
}

}  // namespace gossip::bench
