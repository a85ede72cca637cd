// SPDX-License-Identifier: Apache-2.0
// Programs as users write them, for what a test cannot do in its own process; see CMakeLists.txt.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#if GOSSIP_WITH_TORCH
#include <ATen/Parallel.h>
#endif

#include <libgossip/base/collective_call.h>
#include <libgossip/base/error.h>
#include <libgossip/runtime/cores.h>
#include <libgossip/runtime/run_main.h>

namespace {

using gossip::Session;

int returns(Session& session) {
  session.world().barrier();
  if (session.rank() == 0) std::printf("body of %d\n", session.size());
  return 0;
}

int status(Session& session) { return session.rank() == 1 ? 3 : 0; }

/// Rank 1 throws past shared memory, which all ranks free together, while the others wait for it.
int throws(Session& session) {
  const auto channel = session.world().make_channel({.capacity_bytes = 64});
  if (session.rank() == 1) throw gossip::Error("wrong on rank 1");
  session.world().barrier();
  return 0;
}

int throws_number(Session& session) {
  if (session.rank() == 1) throw 42;
  session.world().barrier();
  return 0;
}

int throws_alone(Session& /*session*/) { throw std::runtime_error("wrong on rank 0"); }

/// Past shared memory and the communication thread.
int joint(Session& session) {
  const auto channel = session.world().make_channel({.capacity_bytes = 64});
  throw gossip::JointError("wrong on all ranks");
}

/// Rank 1 goes on, and waits for the others in vain.
int joint_but_one(Session& session) {
  if (session.rank() != 1) throw gossip::JointError("wrong on all ranks");
  session.world().barrier();
  return 0;
}

int threads_of_libtorch([[maybe_unused]] const Session& session) {
#if GOSSIP_WITH_TORCH
  return at::get_num_threads();
#else
  return session.threads();
#endif
}

int threads(Session& session) {
  const std::vector<gossip::runtime::Cores> ranks(static_cast<std::size_t>(session.size()),
                                                  gossip::runtime::cores_of_this_process());
  const int share = gossip::runtime::share_of_cores(ranks, 0);
  const bool is_share = session.threads() == share && threads_of_libtorch(session) == share;
  std::printf("rank %d: threads %d, LibTorch %d%s\n", session.rank(), session.threads(),
              threads_of_libtorch(session), is_share ? "" : ", not the share");
  const auto all = session.world().all_gather(is_share ? "yes" : "no");
  if (session.rank() == 0 && std::count(all.begin(), all.end(), "yes") == session.size())
    std::printf("threads are the share of %d\n", session.size());
  return 0;
}

int gpus(Session& session) {
  const std::string gpu =
      session.gpu() ? "GPU " + std::to_string(*session.gpu()) : std::string("no GPU");
  std::printf("rank %d: local rank %d of %d, %s\n", session.rank(), session.local_rank(),
              session.local_size(), gpu.c_str());
  return 0;
}

/// All ranks throw while an agreement is under way, which only some have joined where `is_even` is
/// false, and the program goes on to its end.
int catches(Session& session, bool is_even) {
  try {
    const auto largest = session.world().make_largest(3);
    const auto channel = session.world().make_channel({.capacity_bytes = 64});
    std::vector<double> x(100'000);
    const auto mean = session.world().make_mean(std::span<double>(x), std::chrono::minutes(1));
    if (is_even || session.rank() == 0) {
      largest->start(std::vector<double>{1.0, 2.0, 3.0});
      mean->start();
    }
    throw gossip::Error("no file");
  } catch (const gossip::Error& error) {
    std::printf("rank %d caught: %s\n", session.rank(), error.what());
  }
  // What the heap gives out now is what was freed above.
  std::vector<std::vector<char>> blocks(1000, std::vector<char>(24));
  return 3;
}

int catches_in_step(Session& session) { return catches(session, true); }
int catches_apart(Session& session) { return catches(session, false); }

/// Rank 0 makes another collective call than the others.
int differs(Session& session) {
  const gossip::CollectiveCall call(session.rank() == 0 ? "evaluate()" : "save()",
                                    std::chrono::seconds(5));
  session.world().barrier();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string_view, std::function<int(Session&)>> cases{
      {"returns", returns},
      {"status", status},
      {"throws", throws},
      {"throws_number", throws_number},
      {"joint", joint},
      {"joint_but_one", joint_but_one},
      {"throws_alone", throws_alone},
      {"threads", threads},
      {"gpus", gpus},
      {"differs", differs},
      {"catches_in_step", catches_in_step},
      {"catches_apart", catches_apart},
  };
  return gossip::run_main(argc, argv, cases.at(argc > 1 ? argv[1] : ""));
}
