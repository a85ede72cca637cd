// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <unistd.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/environment.h>
#include <libgossip/runtime/session.h>
#include <libgossip/transport/process_group.h>

namespace gossip {
namespace {

int available_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return std::max(1, CPU_COUNT(&cores));
}

/// What the user asked for, or this rank's share of the cores, which is then written where OpenMP
/// and MKL read it.
int choose_threads(int ranks_on_host) {
  constexpr const char* kVariable = "OMP_NUM_THREADS";
  if (const char* text = std::getenv(kVariable); text != nullptr && *text != '\0') {
    int threads = 0;
    std::from_chars(text, text + std::strlen(text), threads);
    GOSSIP_CHECK(threads >= 1, "{} is '{}': it must be a number of threads, at least 1.", kVariable,
                 text);
    return threads;
  }
  // A launcher that binds each rank to its own cores has divided them already.
  const int cores = available_cores();
  const int total = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  const int threads = cores < total ? cores : std::max(1, cores / ranks_on_host);
  setenv(kVariable, std::to_string(threads).c_str(), 0);
  return threads;
}

}  // namespace

struct Session::Impl {
  Impl(int& argc, char**& argv) : environment(argc, argv) {}

  mpi::Environment environment;
  std::unique_ptr<transport::Group> world;
};

Session::Session(int& argc, char**& argv) : impl_(std::make_unique<Impl>(argc, argv)) {
  mpi::Communicator communicator = impl_->environment.world();
  threads_ = choose_threads(communicator.split_by_host().size());
  impl_->world = transport::make_process_group(std::move(communicator));
}

Session::~Session() = default;

Rank Session::rank() const { return impl_->world->rank(); }
int Session::size() const { return impl_->world->size(); }
transport::Group& Session::world() const { return *impl_->world; }

}  // namespace gossip
