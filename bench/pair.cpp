// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <vector>

#include <mpi.h>

#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/engine/pairs/pair_exchange.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {

void pair_command(Session& session, std::size_t bytes, int repetitions) {
  GOSSIP_CHECK(session.size() == 2, "The pair measurement needs 2 ranks, not {}: mpirun -n 2.",
               session.size());
  const std::size_t size = bytes / sizeof(float);
  const Rank peer = 1 - session.rank();
  engine::PairExchange exchange(session, std::make_shared<algorithm::ADPSGD>(),
                                {{Dtype::kFloat32, nullptr, size}},
                                {.peers = {peer}, .elapsed = {1.0, 1.0}});
  const std::span<float> live = exchange.model().front().as<float>();
  const auto exchange_and_wait = [&] {
    exchange.close();
    exchange.request(peer);
    const auto is_over = [&] { return !exchange.is_pending(peer); };
    GOSSIP_CHECK(wait_until(Deadline(std::chrono::minutes(1)), is_over), "The exchange hangs.");
    session.world().barrier();  // the peer's event needs this rank's model, too
    exchange.open();
  };
  std::vector<float> source(size, 1.0F);
  std::vector<float> target(size, 2.0F);
  std::vector<float> reduced(size, 3.0F);
  const auto reset = [&] {
    for (std::size_t k = 0; k < size; ++k)
      live[k] = static_cast<float>(session.rank()) + static_cast<float>(k % 7);
  };
  reset();
  session.world().barrier();
  exchange.average_with(peer);
  for (std::size_t k = 0; k < size; ++k) {
    GOSSIP_CHECK(live[k] == 0.5F + static_cast<float>(k % 7),
                 "The average of element {} is {}, which is wrong.", k, live[k]);
  }
  const int count = narrow_count(size);
  const auto times = measure(
      session,
      {{"memcpy, both ranks at once", [&] { std::memcpy(target.data(), source.data(), bytes); }},
       {"fused average, PairExchange::average_with", [&] { exchange.average_with(peer); }},
       {"MPI_Allreduce and division",
        [&] {
          MPI_Allreduce(source.data(), reduced.data(), count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
          for (float& value : reduced) value *= 0.5F;
        }},
       {"MPI_Allreduce alone",
        [&] {
          MPI_Allreduce(source.data(), reduced.data(), count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        }},
       {"asynchronous, PairExchange::request, both at once", exchange_and_wait}},
      repetitions);
  print_table(session, times);
  const nlohmann::json params{{"ranks", 2}, {"bytes", bytes}, {"repetitions", repetitions}};
  report(session, "shared", "fused_average_over_memcpy", median_ratio(times[0], times[1]), "ratio",
         params);
  report(session, "shared", "fused_average_over_allreduce", median_ratio(times[3], times[1]),
         "ratio", params);
  report(session, "shared", "asynchronous_average_over_memcpy", median_ratio(times[0], times[4]),
         "ratio", params);
}

}  // namespace gossip::bench
