// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How good the ranks' models are, and their mean.

#include <cstdint>
#include <functional>

#include <libgossip/optim/decentralized.h>
#include <libgossip/train/metrics.h>
#include <libgossip/transport/group.h>

namespace gossip::train {

/// Test samples, and how one module does on them. The samples are the same on all ranks.
struct TestSet {
  std::int64_t num_samples = 0;  ///< at least 1
  /// How many of the `count` samples from number `first` on the module classifies right, as it is
  /// when this is called. Called on all ranks at once with other samples, or on one alone: it must
  /// not communicate, and leaves the module as it was. `count` may be 0.
  std::function<std::int64_t(std::int64_t first, std::int64_t count)> num_correct;
};

/// The share of the samples, 0 to 1, that the module classifies right. Local. Throws gossip::Error
/// for a test set without samples.
[[nodiscard]] double accuracy_of(const TestSet& test);

/// The same of modules that have the same values on all ranks: the ranks divide the samples among
/// them, and all get the result. Collective, blocks.
[[nodiscard]] double accuracy_of_common_model(transport::Group& group, const TestSet& test);

/// Puts accuracies and consensus distance of the models as they are now into `record`, which has
/// the mean of the ranks' models, and this rank's own. `test` is for the module that `optimizer`
/// trains. Collective, blocks. Throws as Decentralized::with_mean_model().
void evaluate(transport::Group& group, optim::Decentralized& optimizer, const TestSet& test,
              EpochRecord& record);

}  // namespace gossip::train
