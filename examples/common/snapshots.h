// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Models kept during an asynchronous run, to be evaluated after it.

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/runtime/session.h>
#include <libgossip/train/metrics.h>
#include <libgossip/transport/group.h>

#include "common/evaluation.h"
#include "common/fashion_mnist.h"
#include "common/model.h"

namespace gossip::examples {

/// Models of one rank at several moments, kept until all ranks have time to evaluate them: so an
/// asynchronous run is evaluated without waiting. Memory: a model each.
class Snapshots {
 public:
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(moments_.size()); }

  /// Epochs that have ended: those kept, and those of an earlier run that are gone.
  [[nodiscard]] std::int64_t ended() const { return gone_ + size(); }

  /// An earlier run had ended `epochs`, and its models are gone.
  void skip(std::int64_t epochs) { gone_ = epochs; }

  /// For a checkpoint. This object must outlive it.
  [[nodiscard]] checkpoint::Checkpointer::Part part() {
    return {.save = [this] { return state(); },
            .plan = [this](model::StateReader& saved) { return plan(saved); }};
  }

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

  [[nodiscard]] model::StateDict state() const;
  [[nodiscard]] std::function<void()> plan(model::StateReader& saved);

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

  std::int64_t gone_ = 0;
  std::vector<Moment> moments_;
};

/// Names a record's fields for saving and loading.
template <class Visit>
void visit_fields(train::EpochRecord& record, const Visit& visit) {
  visit("epoch", record.epoch);
  visit("loss", record.loss);
  visit("lr", record.lr);
  visit("step", record.totals.step);
  visit("samples", record.totals.samples);
  visit("seconds", record.totals.seconds);
  visit("gossip_rounds", record.totals.gossip_rounds);
  visit("bytes_sent", record.totals.bytes_sent);
  visit("bytes_received", record.totals.bytes_received);
  visit("wait_seconds", record.totals.wait_seconds);
}

inline model::StateDict Snapshots::state() const {
  model::StateDict state;
  state.add("count", Value(size()));
  state.add("gone", Value(gone_));
  for (std::int64_t i = 0; i < size(); ++i) {
    const Moment& moment = moments_[static_cast<std::size_t>(i)];
    const std::string prefix = std::to_string(i) + ".";
    state.add(prefix + "model", moment.values);
    state.add(prefix + "weight", Value(moment.weight));
    state.add(prefix + "images_per_second", Value(moment.record.images_per_second.value_or(0.0)));
    train::EpochRecord record = moment.record;
    visit_fields(record,
                 [&](const char* name, auto& field) { state.add(prefix + name, Value(field)); });
    for (const train::Field& field : record.extra) state.add(prefix + field.name, field.value);
  }
  return state;
}

inline std::function<void()> Snapshots::plan(model::StateReader& saved) {
  Cnn model;
  const torch::Tensor like = flattened(model);
  std::vector<Moment> moments;
  for (std::int64_t i = 0; i < saved.value<std::int64_t>("count"); ++i) {
    const std::string prefix = std::to_string(i) + ".";
    Moment& moment = moments.emplace_back();
    moment.values = saved.tensor(prefix + "model", like).clone();
    moment.weight = saved.value<double>(prefix + "weight");
    moment.record.images_per_second = saved.value<double>(prefix + "images_per_second");
    visit_fields(moment.record, [&]<class T>(const char* name, T& field) {
      field = saved.value<T>(prefix + name);
    });
    for (const auto& [name, value] : saved.rest(prefix))
      moment.record.extra.push_back({name, value});
  }
  return [this, moments, gone = saved.value<std::int64_t>("gone")] {
    moments_ = moments;
    gone_ = gone;
  };
}

}  // namespace gossip::examples
