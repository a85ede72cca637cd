// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What one process of a training job holds for its whole life.

#include <memory>
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
/// use, each divided by the ranks that may use it, so that tensor operations do not fight for
/// cores. It counts
/// for LibTorch if no tensor operation ran before. Errors: as mpi::Environment.
class Session {
 public:
  Session(int& argc, char**& argv);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  [[nodiscard]] Rank rank() const;
  [[nodiscard]] int size() const;

  /// All ranks of the job.
  [[nodiscard]] transport::Group& world() const;
  operator transport::Group&() const { return world(); }  // NOLINT(google-explicit-constructor)

  /// Has bytes move as `options` say, in place of what the environment variables GOSSIP_... say.
  /// All that was made with the world() of before must be gone. Collective. Throws JointError when
  /// the ranks' options differ, or when these ranks cannot use them.
  void use_transport(const transport::TransportOptions& options);

  /// The device that this rank trains on, as torch::Device reads it: "cpu".
  [[nodiscard]] std::string device() const { return "cpu"; }

  /// Threads for tensor operations: OMP_NUM_THREADS, or the share of the host's cores described
  /// above.
  [[nodiscard]] int threads() const noexcept { return threads_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int threads_ = 1;
};

}  // namespace gossip
