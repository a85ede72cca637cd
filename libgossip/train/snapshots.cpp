// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <concepts>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/error.h>
#include <libgossip/model/flat_model.h>
#include <libgossip/model/memory.h>
#include <libgossip/train/saved_field.h>
#include <libgossip/train/snapshots.h>

namespace gossip::train {
namespace {

/// Says that the models of a checkpoint are whole modules: 1.
constexpr const char* kKind = "of_whole_modules";

/// The parameters and the buffers, under each of their names.
std::vector<model::Holder> holders_of(const torch::nn::Module& module) {
  std::vector<model::Holder> result;
  for (const auto& item : module.named_parameters()) {
    result.push_back({.name = item.key(), .tensor = item.value()});
  }
  for (const auto& item : module.named_buffers()) {
    result.push_back({.name = item.key(), .tensor = item.value(), .is_buffer = true});
  }
  return result;
}

bool is_trained(const model::Holder& holder) {
  return !holder.is_buffer && holder.tensor.requires_grad();
}

/// The mean over the ranks, in which this rank's counts `share` times. Types that are not mixed go
/// by double.
at::Tensor averaged(transport::Group& group, const at::Tensor& tensor, double share = 1.0) {
  const auto type = tensor.scalar_type() == at::kFloat ? at::kFloat : at::kDouble;
  at::Tensor mean = tensor.to(type).clone(at::MemoryFormat::Contiguous);
  if (share != 1.0) mean.mul_(share);
  transport::average_(group, model::view_of(mean));
  return mean;
}

/// Names a record's fields for saving and loading.
template <class Visit>
void visit_fields(EpochRecord& record, const Visit& visit) {
  visit("epoch", record.epoch);
  visit("loss", record.loss);
  visit("lr", record.lr);
  visit("images_per_second", record.images_per_second);
  visit("step", record.totals.step);
  visit("samples", record.totals.samples);
  visit("seconds", record.totals.seconds);
  visit("gossip_rounds", record.totals.gossip_rounds);
  visit("bytes_sent", record.totals.bytes_sent);
  visit("bytes_received", record.totals.bytes_received);
  visit("wait_seconds", record.totals.wait_seconds);
}

}  // namespace

Snapshots::Snapshots(const torch::nn::Module& module) {
  const std::vector<model::Holder> holders = holders_of(module);
  parts_.resize(holders.size());
  std::unordered_multimap<const void*, std::size_t> seen;  // by memory
  const auto add = [&](std::size_t name) {
    const model::Holder& holder = holders[name];
    const void* begin = model::range_of(holder.tensor).begin;
    const auto [first, last] = seen.equal_range(begin);
    const auto found = std::find_if(first, last, [&](const auto& known) {
      const at::Tensor& other = kept_[known.second].tensor;
      return other.is_same(holder.tensor) || model::is_alias(other, holder.tensor);
    });
    parts_[name] = found == last ? kept_.size() : found->second;
    if (found == last) {
      seen.emplace(begin, kept_.size());
      kept_.push_back({.name = holder.name, .tensor = holder.tensor});
    }
    kept_[parts_[name]].is_averaged |= holder.is_buffer && holder.tensor.is_floating_point();
  };
  for (std::size_t name = 0; name < holders.size(); ++name) {
    if (is_trained(holders[name])) add(name);
  }
  num_trained_ = kept_.size();
  GOSSIP_CHECK(num_trained_ > 0, "A module without parameters to train has nothing to be kept.");
  const at::ScalarType type = kept_.front().tensor.scalar_type();
  for (const Kept& parameter : kept_) {
    GOSSIP_CHECK(
        parameter.tensor.scalar_type() == type && (type == at::kFloat || type == at::kDouble),
        "The module has a parameter {}: to be kept they must be all float or all double.",
        model::description_of(parameter.tensor));
  }
  for (std::size_t name = 0; name < holders.size(); ++name) {
    if (!is_trained(holders[name])) add(name);
  }
}

Snapshots::Model Snapshots::copy() const {
  const torch::NoGradGuard no_grad;
  Model model;
  std::vector<at::Tensor> trained;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (i < num_trained_) {
      trained.push_back(kept_[i].tensor.flatten());
    } else {
      model.others.push_back(kept_[i].tensor.detach().clone());
    }
  }
  model.trained = at::cat(trained);
  return model;
}

void Snapshots::put(const Model& model, const torch::nn::Module& scratch) const {
  std::vector<at::Tensor> values;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < num_trained_; ++i) {
    const at::Tensor& like = kept_[i].tensor;
    values.push_back(model.trained.narrow(0, begin, like.numel()).view(like.sizes()));
    begin += like.numel();
  }
  values.insert(values.end(), model.others.begin(), model.others.end());
  const std::vector<model::Holder> holders = holders_of(scratch);
  GOSSIP_CHECK(holders.size() == parts_.size(),
               "The models that were kept have {} parameters and buffers, but the module to "
               "evaluate them in has {}: give it one of the same kind.",
               parts_.size(), holders.size());
  for (std::size_t name = 0; name < holders.size(); ++name) {
    const at::Tensor& from = values[parts_[name]];
    const model::Holder& to = holders[name];
    GOSSIP_CHECK(to.tensor.sizes() == from.sizes(),
                 "'{}' is {} in the models that were kept, but '{}' of the module to evaluate them "
                 "in is {}: give it one of the same kind.",
                 kept_[parts_[name]].name, model::description_of(from), to.name,
                 model::description_of(to.tensor));
    model::assign_(to.tensor, from);
  }
}

checkpoint::Checkpointer::Part Snapshots::part() {
  return {.save = [this] { return state(); },
          .plan = [this](model::StateReader& saved) { return plan(saved); }};
}

void Snapshots::take(const optim::Decentralized& optimizer, EpochRecord record) {
  moments_.push_back({std::move(record), optimizer.weight(), copy()});
}

std::vector<EpochRecord> Snapshots::evaluated(transport::Group& group, torch::nn::Module& scratch,
                                              const TestSet& test) const {
  const CollectiveCall call("Snapshots::evaluated()", CollectiveCall::patience());
  std::vector<EpochRecord> records;
  for (const Moment& moment : moments_) {
    EpochRecord& record = records.emplace_back(moment.record);
    put(moment.model, scratch);
    record.test_accuracy_local = accuracy_of(test);
    Model mean = moment.model;
    mean.trained = averaged(group, moment.model.trained);
    const double square =
        model::squared_distance(model::view_of(moment.model.trained), model::view_of(mean.trained));
    record.consensus_distance = std::sqrt(transport::mean_of(group, square));
    // With push-sum a model counts by its weight.
    const double share = moment.weight / transport::mean_of(group, moment.weight);
    if (transport::mean_of(group, share == 1.0 ? 0.0 : 1.0) > 0.0) {
      mean.trained = averaged(group, moment.model.trained, share);
    }
    for (std::size_t i = 0; i < mean.others.size(); ++i) {
      if (!kept_[num_trained_ + i].is_averaged) continue;
      mean.others[i] = averaged(group, moment.model.others[i], share);
    }
    put(mean, scratch);
    record.test_accuracy_mean_model = accuracy_of_common_model(group, test);
  }
  return records;
}

model::StateDict Snapshots::state() const {
  model::StateDict state;
  state.add("count", Value(size()));
  state.add("gone", Value(gone_));
  state.add(kKind, Value(std::int64_t{1}));
  for (std::int64_t i = 0; i < size(); ++i) {
    const Moment& moment = moments_[static_cast<std::size_t>(i)];
    const std::string prefix = std::to_string(i) + ".";
    state.add(prefix + "model", moment.model.trained);
    for (std::size_t k = 0; k < moment.model.others.size(); ++k) {
      state.add(prefix + "other." + std::to_string(k), moment.model.others[k]);
    }
    state.add(prefix + "weight", Value(moment.weight));
    EpochRecord record = moment.record;
    visit_fields(record, [&]<class T>(const char* name, const T& field) {
      if constexpr (std::same_as<T, std::optional<double>>) {
        if (field) state.add(prefix + name, Value(*field));
      } else {
        state.add(prefix + name, Value(field));
      }
    });
    for (const Field& field : record.extra) state.add(prefix + field.name, to_save(field));
  }
  return state;
}

std::function<void()> Snapshots::plan(model::StateReader& saved) {
  const Model like = copy();
  const bool is_of_this_kind = saved.has_value(kKind) && saved.value<std::int64_t>(kKind) == 1;
  GOSSIP_CHECK(
      is_of_this_kind || saved.value<std::int64_t>("count") == 0,
      "The models kept in this checkpoint were written by an earlier libgossip, which left "
      "out buffers and frozen parameters: resume with that one, or without snapshots.");
  std::vector<Moment> moments;
  for (std::int64_t i = 0; i < saved.value<std::int64_t>("count"); ++i) {
    const std::string prefix = std::to_string(i) + ".";
    Moment& moment = moments.emplace_back();
    moment.model.trained = saved.tensor(prefix + "model", like.trained).clone();
    for (std::size_t k = 0; k < like.others.size(); ++k) {
      const std::string name = prefix + "other." + std::to_string(k);
      moment.model.others.push_back(saved.tensor(name, like.others[k]).clone());
    }
    moment.weight = saved.value<double>(prefix + "weight");
    visit_fields(moment.record, [&]<class T>(const char* name, T& field) {
      if constexpr (std::same_as<T, std::optional<double>>) {
        if (saved.has_value(prefix + name)) field = saved.value<double>(prefix + name);
      } else {
        field = saved.value<T>(prefix + name);
      }
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
