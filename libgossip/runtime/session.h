// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What one process of a training job holds for its whole life.

#include <memory>
#include <optional>
#include <string>

#include <libgossip/base/types.h>
#include <libgossip/transport/group.h>
#include <libgossip/transport/transport_options.h>

namespace gossip {

/// MPI, the device, and the groups of ranks; one per process, made first and destroyed last.
/// Wherever a group is expected, the session stands for its world().
///
/// Collective: construction and destruction, over all processes of the job.
/// Side effect: sets OMP_NUM_THREADS, unless it is set, to this rank's share of the cores it may
/// use, each divided by the ranks that may use it, of its control group's CPU quota, and of srun's
/// --cpus-per-task, whichever is least, so that tensor operations do not fight for cores. It counts
/// for LibTorch if no tensor operation ran before. Makes gpu() the current device of a CUDA runtime
/// that is loaded already, before MPI starts if the launcher told the rank its place on the host.
/// Warns where launcher and MPI contradict each other (MPI is right) and where ranks share a GPU.
/// Errors: as mpi::Environment.
class Session {
 public:
  Session(int& argc, char**& argv);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  [[nodiscard]] Rank rank() const;
  [[nodiscard]] int size() const;

  /// Number of this rank among those of its host, from 0 in the order of ranks.
  [[nodiscard]] int local_rank() const noexcept { return local_rank_; }

  /// How many ranks this host has.
  [[nodiscard]] int local_size() const noexcept { return local_size_; }

  /// All ranks of the job.
  [[nodiscard]] transport::Group& world() const;
  operator transport::Group&() const { return world(); }  // NOLINT(google-explicit-constructor)

  /// The ranks that share memory with this one: those of its host. Collective over all ranks at the
  /// first call, and at the first after use_transport().
  [[nodiscard]] transport::Group& host();

  /// This rank and, of each other host, the rank that has the same number there, in the order of
  /// the hosts' first ranks. A host that has fewer ranks is not there. Collective as host().
  [[nodiscard]] transport::Group& counterparts();

  /// Has bytes move as `options` say, in place of what the environment variables GOSSIP_... say.
  /// All that was made with the groups of before must be gone. Collective. Throws JointError when
  /// the ranks' options differ, or when these ranks cannot use them.
  void use_transport(const transport::TransportOptions& options);

  /// The device that this rank trains on, as torch::Device reads it: always "cpu", as the library
  /// mixes models in the host's memory; gpu() is for programs that compute on a GPU themselves.
  [[nodiscard]] std::string device() const { return "cpu"; }

  /// The number, among the GPUs that CUDA_VISIBLE_DEVICES leaves to this process, of the one for
  /// this rank: its local rank modulo their number. Nothing without a GPU.
  [[nodiscard]] std::optional<int> gpu() const noexcept { return gpu_; }

  /// Threads for tensor operations: OMP_NUM_THREADS, or the share of the host's cores described
  /// above.
  [[nodiscard]] int threads() const noexcept { return threads_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int local_rank_ = 0;
  int local_size_ = 1;
  std::optional<int> gpu_;
  int threads_ = 1;
};

}  // namespace gossip
