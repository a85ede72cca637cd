// SPDX-License-Identifier: Apache-2.0
// How a decentralized optimizer is saved and loaded.
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/model/local_state.h>
#include <libgossip/optim/archive_state.h>
#include <libgossip/optim/borrowed_groups.h>
#include <libgossip/optim/decentralized.h>

namespace gossip::optim {
namespace {

constexpr const char* kLocal = "local.";

}  // namespace

/// The names of the parameters as they are now. Frozen parameters of the local optimizer are not in
/// the flat model: they go by their place.
model::ParameterName Decentralized::parameter_names() const {
  auto names = std::make_shared<std::unordered_map<const void*, std::string>>();
  for (const model::FlatModel::Parameter& entry : flat_model_->entries()) {
    names->emplace(entry.tensor.unsafeGetTensorImpl(), entry.name);
  }
  std::size_t place = 0;
  for (const auto& groups : {&param_groups_, &std::as_const(*local_).param_groups()}) {
    for (const torch::optim::OptimizerParamGroup& group : *groups) {
      for (const at::Tensor& parameter : group.params()) {
        names->emplace(parameter.unsafeGetTensorImpl(), fmt::format("frozen.{}", place));
        ++place;
      }
    }
  }
  return
      [names](const at::Tensor& parameter) { return names->at(parameter.unsafeGetTensorImpl()); };
}

/// Once; all ranks know it alike. It is no error, since it may have nothing to save.
void Decentralized::warn_unless_local_saves() const {
  if (group_.rank() != 0 || std::exchange(has_looked_at_save_, true)) return;
  if (!model::saves_nothing(*local_)) return;
  log(LogLevel::kWarning, 0,
      "the local optimizer '{}' does not save its options (the learning rate) and what it keeps: "
      "after a resume they are as the program makes them. If its steps put something into state(), "
      "the next checkpoint fails, and each one after it. Override save() and load() in it.",
      model::local_name(*local_));
}

model::StateDict Decentralized::state_dict() const {
  refuse_inside_mean("state_dict()");
  GOSSIP_CHECK(
      !has_failed_step_,
      "A step failed in the middle, so that the state of '{}' belongs to no step: save the "
      "module, load an earlier state, or make a new optimizer.",
      name_);
  model::StateDict result;
  result.add("method", Value(std::string(name_)));
  result.add("options", Value(options_));
  const engine::Position position = worker_->position();
  result.add("step", Value(position.step));
  result.add("round", Value(position.round));
  result.add("weight", Value(position.weight));
  result.add("rates", Value(position.rates));
  result.add("rated", Value(position.rated));
  for (const engine::StateVector& state : worker_->state()) {
    result.add("state." + state.name, model::tensor_of(state.vector));
  }
  {
    // The groups are lent for the time of the call only; nothing that a caller can see changes.
    const BorrowedGroups borrowed(const_cast<Decentralized&>(*this), *local_);
    warn_unless_local_saves();
    result.add_part(kLocal, model::local_state(*local_, parameter_names()));
  }
  add_state(result);
  return result;
}

std::function<void()> Decentralized::plan_load(const model::StateDict& state) {
  refuse_inside_mean("Loading a state");
  model::StateReader saved(state, fmt::format("The state of '{}'", name_));
  GOSSIP_CHECK(saved.has_value("method") && saved.has_value("step") && saved.has_value("round"),
               "This is not the state of a decentralized optimizer (it lacks 'method', 'step' or "
               "'round'): load what save() of a '{}' wrote.",
               name_);
  const auto method = saved.value<std::string>("method");
  GOSSIP_CHECK(method == name_,
               "This is the state of '{}', but this optimizer is '{}': take '{}', "
               "or start anew.",
               method, name_, method);
  const auto options = saved.value<std::string>("options");
  GOSSIP_CHECK(options == options_,
               "The state of '{}' was saved with the options '{}', but they are '{}' here: take "
               "the ones that it was saved with, or start anew.",
               name_, options, options_);
  auto load_worker = plan_worker(saved);
  auto load_more = plan_more(saved);
  const model::StateDict local = state.part(kLocal);
  model::StateReader saved_local(local, saved.what());
  std::function<void()> load_local;
  {
    const BorrowedGroups borrowed(*this, *local_);
    load_local = model::plan_local_state(*local_, parameter_names(), saved_local);
  }
  saved_local.check_all_read();
  saved.check_all_read(kLocal);
  return [this, load_worker, load_more, load_local] {
    {
      const BorrowedGroups borrowed(*this, *local_);
      load_local();
    }
    load_worker();
    load_more();
    has_failed_step_ = false;
    ++loads_;
  };
}

std::function<void()> Decentralized::plan_worker(model::StateReader& saved) {
  const engine::Position position{.step = saved.value<std::int64_t>("step"),
                                  .round = saved.value<std::int64_t>("round"),
                                  .weight = saved.value<double>("weight"),
                                  .rates = saved.value<double>("rates"),
                                  .rated = saved.value<std::int64_t>("rated")};
  GOSSIP_CHECK(position.step >= 0 && position.round >= 0 && position.weight > 0.0,
               "{} has step {}, round {} and weight {}, which cannot be.", saved.what(),
               position.step, position.round, position.weight);
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const engine::StateVector& state : worker_->state()) {
    const at::Tensor to = model::tensor_of(state.vector);
    copies.emplace_back(to, saved.tensor("state." + state.name, to));
  }
  return [this, position, copies] {
    const at::NoGradGuard no_grad;
    for (const auto& [to, from] : copies) to.copy_(from);
    worker_->set_position(position);
  };
}

void Decentralized::save(torch::serialize::OutputArchive& archive) const {
  write_state(archive, state_dict());
}

void Decentralized::load(torch::serialize::InputArchive& archive) {
  load_state_dict(read_state(archive));
}

}  // namespace gossip::optim
