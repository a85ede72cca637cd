// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Models kept during an asynchronous run, to be evaluated after it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/model/state_dict.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/train/evaluation.h>
#include <libgossip/train/metrics.h>
#include <libgossip/transport/group.h>

namespace torch::nn {
class Module;
}

namespace gossip::train {

/// Models of one rank at several moments, kept until all ranks have time to evaluate them: so an
/// asynchronous run is evaluated without waiting. Kept is all that the module has: the trained
/// parameters, which are all float or all double, and frozen ones and buffers of any type. As with
/// Decentralized::with_mean_model() the mean model has the mean of parameters and floating-point
/// buffers, all else is the rank's own.
///
///     train::Snapshots snapshots(*model);
///     while (optimizer.job_steps() < total) {
///       if (...) snapshots.take(optimizer, record.end_epoch(optimizer, snapshots.ended() + 1));
///       ...; optimizer.step();
///     }
///     Net other;  // of the same kind
///     for (const auto& epoch : snapshots.evaluated(session, *other, test_of(other))) {
///       record.write_epoch(epoch);
///     }
///
/// Memory: a model each, in the host's memory. Threads: one at a time; one object per rank.
class Snapshots {
 public:
  /// Of `module`; trained are the parameters that require gradients now. Throws gossip::Error for
  /// a module without such parameters, and when they are not all float or all double.
  explicit Snapshots(const torch::nn::Module& module);

  /// Models that are kept.
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(moments_.size()); }

  /// Epochs that have ended: those kept, and those of an earlier run that are gone.
  [[nodiscard]] std::int64_t ended() const { return gone_ + size(); }

  /// An earlier run had ended `epochs`, and its models are gone.
  void skip(std::int64_t epochs) { gone_ = epochs; }

  /// For a checkpoint. This object must outlive the result.
  [[nodiscard]] checkpoint::Checkpointer::Part part();

  /// Keeps the module as it is now, with what is known of it, and its push-sum weight. Local, does
  /// not block.
  void take(const optim::Decentralized& optimizer, EpochRecord record);

  /// The records in their order, with accuracies and consensus distances. `scratch` is a module of
  /// the same kind, which gets each of the models in turn, the ranks' own and their mean, and keeps
  /// the last one; `test` is for it. Collective, blocks as long as the thread's CollectiveCall
  /// says; all ranks have kept as many. Throws gossip::Error for a module of another kind.
  [[nodiscard]] std::vector<EpochRecord> evaluated(transport::Group& group,
                                                   torch::nn::Module& scratch,
                                                   const TestSet& test) const;

 private:
  /// A tensor of the module. Those that show the same elements are one.
  struct Kept {
    std::string name;  // the first
    at::Tensor tensor;
    bool is_averaged = false;  // a buffer
  };
  struct Model {
    at::Tensor trained;              // one after the other, flat
    std::vector<at::Tensor> others;  // frozen parameters and buffers
  };
  struct Moment {
    EpochRecord record;
    double weight = 1.0;
    Model model;
  };

  [[nodiscard]] Model copy() const;
  void put(const Model& model, const torch::nn::Module& scratch) const;
  [[nodiscard]] model::StateDict state() const;
  [[nodiscard]] std::function<void()> plan(model::StateReader& saved);

  std::vector<Kept> kept_;  // the trained ones first
  std::size_t num_trained_ = 0;
  std::vector<std::size_t> parts_;  // of each name of the module: which of them it is
  std::int64_t gone_ = 0;
  std::vector<Moment> moments_;
};

}  // namespace gossip::train
