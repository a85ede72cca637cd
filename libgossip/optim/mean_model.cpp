// SPDX-License-Identifier: Apache-2.0
// The mean of the ranks' models: to start from it, to show it, and how far the ranks are from it.
#include <cmath>
#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/model/memory.h>
#include <libgossip/optim/decentralized.h>

namespace gossip::optim {
namespace {

void scale_(const VectorView& vector, double factor) {
  visit(vector, [&]<class T>(std::span<T> values) {
    for (T& value : values) value = static_cast<T>(factor * static_cast<double>(value));
  });
}

/// Replaces a tensor by rank 0's, whatever its type and layout.
void broadcast_(transport::Group& group, const at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  const at::Tensor dense = tensor.contiguous().clone();
  group.broadcast({static_cast<std::byte*>(dense.data_ptr()), dense.nbytes()}, 0);
  model::assign_(tensor, dense);
}

/// Replaces a tensor of floating-point numbers by its mean, in which this rank's counts `share`
/// times. Types that are not mixed go by double.
void average_tensor_(transport::Group& group, const at::Tensor& tensor, double share = 1.0) {
  const at::NoGradGuard no_grad;
  const auto type = tensor.scalar_type() == at::kFloat ? at::kFloat : at::kDouble;
  const at::Tensor dense = tensor.to(type).contiguous().clone();
  if (share != 1.0) dense.mul_(share);
  transport::average_(group, model::view_of(dense));
  model::assign_(tensor, dense);
}

/// All that a module has, put back at the end, whatever was done to it meanwhile: its tensors refer
/// to the memory of before again, also those that did not refer to the optimizer's.
class Snapshot {
 public:
  explicit Snapshot(model::FlatModel& model) : model_(model) {
    for (const VectorView& vector : model_.parameters()) {
      const auto* begin = static_cast<const std::byte*>(vector.data);
      vectors_.emplace_back(begin, begin + vector.bytes());
    }
    for (const at::Tensor& parameter : model_.elsewhere()) {
      places_.emplace_back(parameter, parameter.variable_data());
    }
    for (const model::Holder& holder : model_.outside()) {
      places_.emplace_back(holder.tensor, holder.tensor.variable_data());
    }
    for (const at::Tensor& tensor : model_.others()) {
      others_.emplace_back(tensor.variable_data(), tensor.detach().clone());
    }
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() {
    const std::vector<VectorView> vectors = model_.parameters();
    for (std::size_t v = 0; v < vectors.size(); ++v) {
      std::memcpy(vectors[v].data, vectors_[v].data(), vectors_[v].size());
    }
    model_.reset_aliases();
    for (const auto& [memory, values] : others_) model::assign_(memory, values);
    for (const auto& [tensor, memory] : places_) tensor.set_data(memory);
  }

 private:
  model::FlatModel& model_;
  std::vector<std::vector<std::byte>> vectors_;
  std::vector<std::pair<at::Tensor, at::Tensor>> places_;  // tensor, its memory
  std::vector<std::pair<at::Tensor, at::Tensor>> others_;  // memory, values
};

}  // namespace

void Decentralized::start_alike(Initial initial) {
  if (initial == Initial::kKeep || group_.size() == 1) return;
  for (const VectorView& vector : flat_model_->parameters()) {
    if (initial == Initial::kMean) {
      transport::average_(group_, vector);
    } else {
      group_.broadcast({static_cast<std::byte*>(vector.data), vector.bytes()}, 0);
    }
  }
  for (const at::Tensor& tensor : flat_model_->others()) {
    if (initial == Initial::kMean && tensor.is_floating_point()) {
      average_tensor_(group_, tensor);
    } else {
      broadcast_(group_, tensor);
    }
  }
}

void Decentralized::show_mean() {
  // With push-sum a model counts by its weight: the mean is that of the numerators.
  const double weight = worker_->position().weight;
  const double share = weight / transport::mean_of(group_, weight);
  const std::vector<VectorView> shown = evaluated();
  for (std::size_t v = 0; v < shown.size(); ++v) {
    const VectorView vector = flat_model_->parameters()[v];
    if (shown[v].data != vector.data) std::memcpy(vector.data, shown[v].data, vector.bytes());
    if (share != 1.0) scale_(vector, share);
    transport::average_(group_, vector);
  }
  for (const at::Tensor& buffer : flat_model_->float_buffers()) {
    average_tensor_(group_, buffer, share);
  }
}

void Decentralized::with_mean_model(const std::function<void()>& body) {
  refuse_inside_mean("with_mean_model()");
  const CollectiveCall call = this->call("with_mean_model()");
  flat_model_->check_complete();
  while_away(Away::kMean, [&] {
    complete_started();
    const Snapshot own(*flat_model_);
    flat_model_->restore_aliases();
    show_mean();
    body();
  });
}

double Decentralized::consensus_distance() {
  refuse_inside_mean("consensus_distance()");
  const CollectiveCall call = this->call("consensus_distance()");
  flat_model_->check_complete();
  double squares = 0.0;
  while_away(Away::kMean, [&] {
    complete_started();
    std::optional<Snapshot> before;
    if (!flat_model_->elsewhere().empty()) before.emplace(*flat_model_);
    flat_model_->restore_aliases();
    for (const VectorView& vector : flat_model_->parameters()) {
      visit(vector, [&]<class T>(std::span<T> own) {
        std::vector<T> mean(own.begin(), own.end());
        transport::average_(group_, std::span<T>(mean));
        squares += model::squared_distance(vector, std::span<T>(mean));
      });
    }
    squares = transport::mean_of(group_, squares);
  });
  return std::sqrt(squares);
}

}  // namespace gossip::optim
