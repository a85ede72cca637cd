// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How good the ranks' models are, and their mean.

#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

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

/// Models of one rank at several moments, kept until all ranks have time to evaluate them: so an
/// asynchronous run is evaluated without waiting. Memory: a model each.
class Snapshots {
 public:
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(moments_.size()); }

  /// Keeps the model as it is now, with what is known of it. Local.
  void take(const optim::Decentralized& optimizer, Cnn& model, train::EpochRecord record) {
    moments_.push_back({std::move(record), optimizer.weight(), flattened(model)});
  }

  /// The records, with accuracies and consensus distances. Collective; all ranks have as many.
  [[nodiscard]] std::vector<train::EpochRecord> evaluated(Session& session,
                                                          const ImageDataset& test) {
    std::vector<train::EpochRecord> records;
    Cnn model;
    for (Moment& moment : moments_) {
      restore(model, moment.values);
      moment.record.test_accuracy_local = accuracy_of(model, test);
      torch::Tensor mean = moment.values * (moment.weight / mean_weight(session, moment));
      transport::average_(session, std::span(mean.data_ptr<float>(), numel(mean)));
      const double square = (moment.values - mean).square().sum().item<double>();
      moment.record.consensus_distance = std::sqrt(transport::mean_of(session, square));
      restore(model, mean);
      moment.record.test_accuracy_mean_model = accuracy_of_common_model(session, model, test);
      records.push_back(moment.record);
    }
    return records;
  }

 private:
  struct Moment {
    train::EpochRecord record;
    double weight;
    torch::Tensor values;
  };

  static std::size_t numel(const torch::Tensor& tensor) {
    return static_cast<std::size_t>(tensor.numel());
  }
  static double mean_weight(Session& session, const Moment& moment) {
    return transport::mean_of(session, moment.weight);
  }

  /// Parameters and float buffers, one after the other.
  static std::vector<torch::Tensor> tensors_of(Cnn& model) {
    std::vector<torch::Tensor> tensors = model->parameters();
    for (const torch::Tensor& buffer : model->buffers()) {
      if (buffer.scalar_type() == torch::kFloat) tensors.push_back(buffer);
    }
    return tensors;
  }
  static torch::Tensor flattened(Cnn& model) {
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> parts;
    for (const torch::Tensor& tensor : tensors_of(model)) parts.push_back(tensor.flatten());
    return torch::cat(parts);
  }
  static void restore(Cnn& model, const torch::Tensor& values) {
    const torch::NoGradGuard no_grad;
    std::int64_t begin = 0;
    for (torch::Tensor& tensor : tensors_of(model)) {
      tensor.copy_(values.narrow(0, begin, tensor.numel()).view_as(tensor));
      begin += tensor.numel();
    }
  }

  std::vector<Moment> moments_;
};

}  // namespace gossip::examples
