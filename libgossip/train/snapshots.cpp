// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <span>
#include <string>
#include <utility>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/train/saved_field.h>
#include <libgossip/train/snapshots.h>

namespace gossip::train {
namespace {

/// The parameters, and the buffers of their type.
std::vector<at::Tensor> tensors_of(const torch::nn::Module& module) {
  std::vector<at::Tensor> tensors = module.parameters();
  GOSSIP_CHECK(!tensors.empty(), "A module without parameters has nothing to be kept.");
  const at::ScalarType type = tensors.front().scalar_type();
  for (const at::Tensor& parameter : tensors) {
    GOSSIP_CHECK(parameter.scalar_type() == type && (type == at::kFloat || type == at::kDouble),
                 "The module has a parameter {}: to be kept they must be all float or all double.",
                 model::description_of(parameter));
  }
  for (const at::Tensor& buffer : module.buffers()) {
    if (buffer.scalar_type() == type) tensors.push_back(buffer);
  }
  return tensors;
}

at::Tensor flattened(const torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (const at::Tensor& tensor : tensors_of(module)) parts.push_back(tensor.flatten());
  return at::cat(parts);
}

void restore(const torch::nn::Module& module, const at::Tensor& values) {
  const torch::NoGradGuard no_grad;
  std::int64_t begin = 0;
  for (const at::Tensor& tensor : tensors_of(module)) {
    tensor.copy_(values.narrow(0, begin, tensor.numel()).view_as(tensor));
    begin += tensor.numel();
  }
}

void average_(transport::Group& group, const at::Tensor& values) {
  const auto size = static_cast<std::size_t>(values.numel());
  const Dtype dtype = values.scalar_type() == at::kFloat ? Dtype::kFloat32 : Dtype::kFloat64;
  transport::average_(group, VectorView(dtype, values.data_ptr(), size));
}

/// Names a record's fields for saving and loading.
template <class Visit>
void visit_fields(EpochRecord& record, const Visit& visit) {
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

}  // namespace

Snapshots::Snapshots(const torch::nn::Module& module) : module_(module) {
  static_cast<void>(tensors_of(module));  // checks them
}

checkpoint::Checkpointer::Part Snapshots::part() {
  return {.save = [this] { return state(); },
          .plan = [this](model::StateReader& saved) { return plan(saved); }};
}

void Snapshots::take(const optim::Decentralized& optimizer, EpochRecord record) {
  moments_.push_back({std::move(record), optimizer.weight(), flattened(module_)});
}

std::vector<EpochRecord> Snapshots::evaluated(transport::Group& group, torch::nn::Module& scratch,
                                              const TestSet& test) const {
  std::vector<EpochRecord> records;
  for (const Moment& moment : moments_) {
    EpochRecord& record = records.emplace_back(moment.record);
    restore(scratch, moment.values);
    record.test_accuracy_local = accuracy_of(test);
    const at::Tensor mean =
        moment.values * (moment.weight / transport::mean_of(group, moment.weight));
    average_(group, mean);
    const double square = (moment.values - mean).square().sum().item<double>();
    record.consensus_distance = std::sqrt(transport::mean_of(group, square));
    restore(scratch, mean);
    record.test_accuracy_mean_model = accuracy_of_common_model(group, test);
  }
  return records;
}

model::StateDict Snapshots::state() const {
  model::StateDict state;
  state.add("count", Value(size()));
  state.add("gone", Value(gone_));
  for (std::int64_t i = 0; i < size(); ++i) {
    const Moment& moment = moments_[static_cast<std::size_t>(i)];
    const std::string prefix = std::to_string(i) + ".";
    state.add(prefix + "model", moment.values);
    state.add(prefix + "weight", Value(moment.weight));
    state.add(prefix + "images_per_second", Value(moment.record.images_per_second.value_or(0.0)));
    EpochRecord record = moment.record;
    visit_fields(record,
                 [&](const char* name, auto& field) { state.add(prefix + name, Value(field)); });
    for (const Field& field : record.extra) state.add(prefix + field.name, to_save(field));
  }
  return state;
}

std::function<void()> Snapshots::plan(model::StateReader& saved) {
  const at::Tensor like = flattened(module_);
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
    for (const NamedValue& value : saved.rest(prefix)) {
      moment.record.extra.push_back(field_of(value));
    }
  }
  return [this, moments, gone = saved.value<std::int64_t>("gone")] {
    moments_ = moments;
    gone_ = gone;
  };
}

}  // namespace gossip::train
