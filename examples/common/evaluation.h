// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How good the ranks' models are, and their mean.

#include <cstdint>

#include <torch/torch.h>

#include <libgossip/optim/decentralized.h>
#include <libgossip/runtime/session.h>
#include <libgossip/train/metrics.h>
#include <libgossip/transport/group.h>

#include "common/fashion_mnist.h"
#include "common/model.h"

namespace gossip::examples {

/// Share of the test images that models which are the same on all ranks classify right: the ranks
/// divide the images among them. Collective.
inline double accuracy_of_common_model(Session& session, Cnn& model, const ImageDataset& test) {
  const std::int64_t first = test.size() * session.rank() / session.size();
  const std::int64_t last = test.size() * (session.rank() + 1) / session.size();
  const auto correct = static_cast<double>(num_correct(model, test, first, last - first));
  return transport::mean_of(session, correct) * session.size() / static_cast<double>(test.size());
}

inline double accuracy_of(Cnn& model, const ImageDataset& test) {
  return static_cast<double>(num_correct(model, test, 0, test.size())) /
         static_cast<double>(test.size());
}

/// Puts accuracies and consensus distance of the models as they are now into `record`. Collective.
inline void evaluate(Session& session, optim::Decentralized& optimizer, Cnn& model,
                     const ImageDataset& test, train::EpochRecord& record) {
  record.consensus_distance = optimizer.consensus_distance();
  optimizer.with_mean_model(
      [&] { record.test_accuracy_mean_model = accuracy_of_common_model(session, model, test); });
  record.test_accuracy_local = accuracy_of(model, test);
}

}  // namespace gossip::examples
