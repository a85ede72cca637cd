// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/engine/membership.h>
#include <libgossip/topology/families.h>
#include <libgossip/transport/local/cluster.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {
namespace {

constexpr std::chrono::milliseconds kStep{10};

/// The ages in milliseconds of what one rank knows of all others, once all have been heard of: each
/// sets its steps to the time.
std::vector<double> ages_seen(transport::Group& group, double seconds) {
  engine::Membership membership(group, topology::ring(group.size()).out_neighbors(group.rank()));
  group.barrier();
  const Clock::time_point start = Clock::now();
  const auto now = [&] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count() + 1;
  };
  std::vector<double> ages;
  const auto end = static_cast<std::int64_t>(1000.0 * seconds);
  while (now() < end) {
    membership.set_steps(now());
    std::this_thread::sleep_for(kStep);
    if (now() < end / 2) continue;
    std::int64_t oldest = now();
    for (Rank rank = 0; rank < group.size(); ++rank) {
      if (rank != group.rank()) oldest = std::min(oldest, membership.steps_of(rank));
    }
    ages.push_back(static_cast<double>(now() - oldest));
  }
  group.barrier();
  return ages;
}

}  // namespace

void membership_command(Session& session, int ranks, double seconds) {
  transport::local::Cluster cluster(ranks);
  std::vector<std::vector<double>> ages(static_cast<std::size_t>(ranks));
  {
    std::vector<std::jthread> threads;
    for (Rank rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        const auto group = cluster.group(rank);
        ages[static_cast<std::size_t>(rank)] = ages_seen(*group, seconds);
      });
    }
  }
  std::vector<double> all;
  for (const std::vector<double>& of_rank : ages) {
    all.insert(all.end(), of_rank.begin(), of_rank.end());
  }
  std::ranges::sort(all);
  constexpr double kMostOfThem = 0.99;
  const auto at = [&](double share) {
    return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))] / 1000.0;
  };
  const nlohmann::json params{{"ranks", ranks}, {"topology", "ring"}, {"seconds", seconds}};
  report(session, "membership", "oldest_median", at(0.5), "s", params);
  report(session, "membership", "oldest_p99", at(kMostOfThem), "s", params);
  report(session, "membership", "oldest_longest", all.back() / 1000.0, "s", params);
}

}  // namespace gossip::bench
