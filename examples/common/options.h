// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The command line of the training examples.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <libgossip/base/types.h>
#include <libgossip/optim/factory.h>
#include <libgossip/topology/hosts.h>
#include <libgossip/train/run_record.h>

#include "common/checkpoint_every.h"
#include "common/slow_rank.h"

namespace torch::optim {
class Optimizer;
}

namespace gossip::examples {

struct Options {
  std::string optimizer = "gossip-sgd";
  std::string topology = "one-peer-exponential";
  std::string transport = "auto";
  std::string order = "atc";
  std::string tracking_order = "semi-atc";
  std::int64_t local_steps = 1;
  std::int64_t outer_steps = 8;
  std::int64_t switch_step = 0;
  int group_size = 2;
  double method_momentum = 0.9;
  double outer_lr = 0.7;
  int fragments = 1;
  bool lazy = true;
  double active = 0.5;
  double compression = 0.01;
  double consensus_rate = 0.1;
  double dirichlet = 0.0;  ///< 0: no label skew
  double exchanges_per_step = 1.0;
  double lipschitz = 0.0;  ///< 0: 1 / (4 lr)
  double safety = 2.0;
  bool overlap = false;
  std::string on_lost_neighbor = "error";
  double neighbor_timeout = 300.0;  ///< seconds
  std::string local_optimizer = "sgd";
  std::string lr_schedule = "one-cycle";
  std::int64_t epochs = 8;
  std::int64_t batch_size = 64;
  double lr = 0.15;
  double momentum = 0.9;
  double weight_decay = 5e-4;
  std::uint64_t seed = 1;
  int threads = 0;
  std::string data;
  std::string out = "runs/fashion_mnist";
  std::int64_t log_every = 50;
  std::string slow_rank;
  std::string checkpoint;  ///< folder; empty: none
  std::string checkpoint_every;
  int keep = 3;
  bool resume = false;
  bool resume_from_mean = false;

  SlowRank slow = {};          ///< from slow_rank
  CheckpointEvery every = {};  ///< from checkpoint_every
  std::string resolved;        ///< all of the above as TOML
};

/// Reads the command line and the file that --config names. Nothing when there is nothing left to
/// do (--help, --list), after `speaks` printed it. Throws gossip::Error for what cannot be right:
/// unknown options and names (with the near ones), numbers out of range. `hosts`: of the ranks that
/// there are. Local.
[[nodiscard]] std::optional<Options> parse_options(int argc, const char* const* argv,
                                                   const topology::Hosts& hosts, bool speaks);

/// What the options say to the distributed optimizer.
[[nodiscard]] optim::OptimizerOptions optimizer_options(const Options& options);

/// What the options say to the record of the run.
[[nodiscard]] train::RunRecordOptions record_options(const Options& options,
                                                     std::int64_t steps_per_epoch);

/// The optimizer of LibTorch that --local-optimizer names, on `parameters`.
[[nodiscard]] std::unique_ptr<torch::optim::Optimizer> make_local_optimizer(
    const Options& options, const std::vector<at::Tensor>& parameters);

}  // namespace gossip::examples
