// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <string>
#include <vector>

#include <libgossip/base/log.h>
#include <libgossip/base/variables.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/environment.h>
#include <libgossip/mpi/launcher.h>
#include <libgossip/runtime/cores.h>
#include <libgossip/runtime/gpu.h>
#include <libgossip/runtime/session.h>
#include <libgossip/transport/process_group.h>

namespace gossip {
namespace {

/// Collective over `host`.
int share_of_cores(const mpi::Communicator& host) {
  std::vector<runtime::Cores> ranks;
  for (const std::string& text : host.all_gather(to_text(runtime::cores_of_this_process()))) {
    ranks.push_back(runtime::cores_of_text(text));
  }
  return runtime::share_of_cores(ranks, static_cast<std::size_t>(host.rank()));
}

/// Slurm does not bind tasks to the cores that it counts for them unless a site has it do so.
int limited(int share, const mpi::LaunchedBy& launched) {
  return std::max(1, std::min(share, launched.cores.value_or(share)));
}

/// For an OpenMP that LibTorch brought along: it has read the variable when the process started.
void set_openmp_threads(int threads) {
  using SetThreads = void (*)(int);
  const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set != nullptr) set(threads);
}

/// What the user asked for, or this rank's share of the cores, which is then written where OpenMP
/// and MKL read it.
int choose_threads(int share) {
  constexpr const char* kVariable = "OMP_NUM_THREADS";
  static std::string written;  // by an earlier session of this process: nobody asked for that
  const std::string text = environment_variable(kVariable).value_or("");
  if (!text.empty() && text != written) return runtime::requested_threads(text);
  written = std::to_string(share);
  setenv(kVariable, written.c_str(), 1);
  set_openmp_threads(share);
  return share;
}

/// The GPU of a process, chosen as soon as its place on the host is known.
class GpuChoice {
 public:
  /// By what the launcher said, if it did.
  explicit GpuChoice(const mpi::LaunchedBy& launched)
      : visible_(runtime::visible_gpus(environment_variable, runtime::installed_gpus())) {
    if (launched.local_rank) choose(*launched.local_rank, launched.rank);
  }

  /// Chooses again where `local_rank` gives another one than before.
  void choose(int local_rank, Rank rank) {
    const auto gpu = runtime::gpu_of_rank(local_rank, static_cast<int>(visible_.size()));
    if (gpu == chosen_) return;
    chosen_ = gpu;
    if (const auto reason = runtime::use_gpu(*gpu)) {
      log(LogLevel::kWarning, rank, "CUDA refuses GPU {}: {}.", *gpu, *reason);
    }
  }

  /// Says which ranks of a host share a GPU. Collective over `host`.
  void compare(const mpi::Communicator& host, Rank rank) const {
    const bool counts = chosen_ && runtime::are_gpus_compared(environment_variable);
    const auto shared = runtime::shared_gpus(host.all_gather(counts ? name() : ""));
    if (shared && host.rank() == 0) log_line(LogLevel::kWarning, rank, *shared);
  }

  [[nodiscard]] std::optional<int> chosen() const { return chosen_; }

 private:
  [[nodiscard]] std::string name() const { return visible_[static_cast<std::size_t>(*chosen_)]; }

  std::vector<std::string> visible_;
  std::optional<int> chosen_;
};

}  // namespace

struct Session::Impl {
  // The GPU is chosen before MPI starts: an MPI library may take the current one for its own.
  Impl(int& argc, char**& argv)
      : launched(mpi::launched_by()), gpu(launched), environment(argc, argv) {}

  mpi::LaunchedBy launched;
  GpuChoice gpu;
  mpi::Environment environment;
  std::unique_ptr<transport::Group> world;
  std::unique_ptr<transport::Group> host;          // once asked for
  std::unique_ptr<transport::Group> counterparts;  // the same
};

Session::Session(int& argc, char**& argv) : impl_(std::make_unique<Impl>(argc, argv)) {
  mpi::Communicator communicator = impl_->environment.world();
  const mpi::Communicator host = communicator.split_by_host();
  local_rank_ = host.rank();
  local_size_ = host.size();
  const Rank rank = communicator.rank();
  if (const auto told = mpi::differences(impl_->launched, rank, local_rank_, local_size_)) {
    log_line(LogLevel::kWarning, rank, *told);
  }
  impl_->gpu.choose(local_rank_, rank);
  impl_->gpu.compare(host, rank);
  gpu_ = impl_->gpu.chosen();
  threads_ = choose_threads(limited(share_of_cores(host), impl_->launched));
  impl_->world = transport::make_process_group(std::move(communicator),
                                               transport::transport_options_from_environment());
}

Session::~Session() = default;

void Session::use_transport(const transport::TransportOptions& options) {
  impl_->world->meet("use_transport()");  // nobody waits in MPI for a rank that does not come
  // The old group stays where the new one cannot be made.
  auto world = transport::make_process_group(impl_->environment.world(), options);
  impl_->counterparts.reset();
  impl_->host.reset();
  impl_->world = std::move(world);
}

transport::Group& Session::host() {
  if (!impl_->host) {
    Rank first = 0;
    while (!world().shares_memory_with(first)) ++first;
    impl_->host = world().split(first, rank());
  }
  return *impl_->host;
}

transport::Group& Session::counterparts() {
  if (!impl_->counterparts) {
    // The hosts have no other order than that of their first ranks, and ranks follow it.
    const Rank place = host().rank();
    const Rank first = host().all_gather(rank()).front();
    impl_->counterparts = world().split(place, first);
  }
  return *impl_->counterparts;
}

Rank Session::rank() const { return impl_->world->rank(); }
int Session::size() const { return impl_->world->size(); }
transport::Group& Session::world() const { return *impl_->world; }

}  // namespace gossip
