// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include <mpi.h>

#include <libgossip/base/narrow.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/topology/families.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {

void neighbor_command(Session& session, std::size_t bytes, int rounds, int repetitions) {
  const std::size_t size = bytes / sizeof(float);
  std::vector<float> own(size, static_cast<float>(session.rank()));
  std::vector<float> left(size);
  std::vector<float> right(size);
  engine::Mixer mixer(session, topology::ring(session.size()), {{std::span<float>(own)}},
                      std::chrono::minutes(1));
  std::int64_t round = 0;
  const int count = narrow_count(size);
  const int next = (session.rank() + 1) % session.size();
  const int previous = (session.rank() + session.size() - 1) % session.size();
  const auto sendrecv_round = [&] {
    MPI_Sendrecv(own.data(), count, MPI_FLOAT, next, 0, left.data(), count, MPI_FLOAT, previous, 0,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Sendrecv(own.data(), count, MPI_FLOAT, previous, 1, right.data(), count, MPI_FLOAT, next, 1,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (std::size_t k = 0; k < size; ++k) own[k] = (own[k] + left[k] + right[k]) / 3.0F;
  };
  const auto times = measure(session,
                             {{"two MPI_Sendrecv and the mean",
                               [&] {
                                 for (int i = 0; i < rounds; ++i) sendrecv_round();
                               }},
                              {"Mixer::pull on the ring",
                               [&] {
                                 for (int i = 0; i < rounds; ++i) mixer.mix(round++);
                               }}},
                             repetitions);
  print_table(session, times);
  const nlohmann::json params{{"ranks", session.size()},
                              {"bytes", bytes},
                              {"rounds", rounds},
                              {"repetitions", repetitions}};
  report(session, "shared", "neighbor_average_4kb_over_sendrecv", median_ratio(times[0], times[1]),
         "ratio", params);
  report(session, "shared", "neighbor_average_4kb_microseconds", 1e6 * times[1].median() / rounds,
         "us", params);
}

}  // namespace gossip::bench
