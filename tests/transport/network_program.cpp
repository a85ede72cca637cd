// SPDX-License-Identifier: Apache-2.0
// Programs whose ranks reach each other over a network, and end in another way than a test; see
// CMakeLists.txt.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/runtime/run_main.h>

namespace {

using gossip::Session;
using gossip::transport::Channel;
using gossip::transport::Group;
using gossip::transport::Reading;

constexpr std::size_t kBytes = std::size_t{3} << 20U;

std::vector<gossip::Rank> others(const Group& group) {
  std::vector<gossip::Rank> ranks;
  for (gossip::Rank rank = 0; rank < group.size(); ++rank) {
    if (rank != group.rank()) ranks.push_back(rank);
  }
  return ranks;
}

void send(Group& group, Channel& channel, std::int64_t round) {
  std::ignore = channel.acquire(others(group));
  channel.commit({.round = round, .bytes = kBytes});
}

std::unique_ptr<Channel> make_channel(Group& group, Reading reading) {
  return group.make_channel({.capacity_bytes = kBytes,
                             .slots = 3,
                             .reading = reading,
                             .timeout = std::chrono::seconds(20),
                             .receive_slots = group.size()});
}

/// All ranks end with messages in every state.
int ends(Session& session) {
  Group& group = session.world();
  const auto next = make_channel(group, Reading::kNext);
  const auto latest = make_channel(group, Reading::kLatest);
  for (int round = 0; round < 2; ++round) {
    send(group, *next, round);
    send(group, *latest, round);
  }
  if (group.rank() == 0) std::puts("ends in order");
  return 0;
}

/// Rank 1 throws with payloads on their way in both directions, while the others wait for it.
int throws(Session& session) {
  Group& group = session.world();
  const auto next = make_channel(group, Reading::kNext);
  const auto latest = make_channel(group, Reading::kLatest);
  for (int round = 0; round < 2; ++round) {
    send(group, *next, round);
    send(group, *latest, round);
  }
  if (group.rank() == 1) throw gossip::Error("wrong on rank 1");
  for (int round = 0;; ++round) {
    for (const gossip::Rank from : others(group)) std::ignore = next->next(from);
    if (round > 1) send(group, *next, round);
  }
}

/// Makes a channel, and says by what.
int chooses(Session& session) {
  Group& group = session.world();
  const auto channel = make_channel(group, Reading::kNext);
  send(group, *channel, 0);
  for (const gossip::Rank from : others(group)) std::ignore = channel->next(from);
  if (group.rank() == 0) std::printf("by %s\n", std::string(group.transport()).c_str());
  return 0;
}

/// The launchers' number of this process.
int rank_of_environment() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMI_RANK"}) {
    if (const char* text = std::getenv(variable)) return std::atoi(text);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "differs" && rank_of_environment() == 1) setenv("GOSSIP_TRANSPORT", "message", 1);
  return gossip::run_main(argc, argv, [&](Session& session) {
    if (name == "ends") return ends(session);
    if (name == "throws") return throws(session);
    if (name == "chooses" || name == "differs") return chooses(session);
    throw gossip::JointError("there is no such case");
  });
}
