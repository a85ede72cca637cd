// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/optim/archive_state.h>
#include <libgossip/optim/estimator_state.h>

namespace gossip::optim::detail {
namespace {

constexpr const char* kEstimator = "estimator";

std::string key_of(std::size_t index) { return fmt::format("tensor.{}", index); }

}  // namespace

model::StateDict estimator_state(std::string_view name, const GradientAt::Tensors& tensors) {
  model::StateDict state;
  state.add(kEstimator, Value(std::string(name)));
  for (std::size_t i = 0; i < tensors.size(); ++i) state.add(key_of(i), tensors[i]);
  return state;
}

std::function<void()> plan_estimator(model::StateReader& saved, std::string_view name,
                                     const GradientAt::Tensors& tensors) {
  GOSSIP_CHECK(saved.has_value(kEstimator),
               "This is not the state of a gradient estimator (it lacks 'estimator'): load what "
               "save() of a '{}' wrote.",
               name);
  const auto found = saved.value<std::string>(kEstimator);
  GOSSIP_CHECK(found == name, "This is the state of '{}', but this estimator is '{}'.", found,
               name);
  GradientAt::Tensors loaded;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    loaded.push_back(saved.tensor(key_of(i), tensors[i]));
  }
  return [tensors, loaded] { copy_(tensors, loaded); };
}

void load_estimator(torch::serialize::InputArchive& archive, std::string_view name,
                    const std::function<std::function<void()>(model::StateReader&)>& plan) {
  const model::StateDict state = read_state(archive);
  model::StateReader saved(state, fmt::format("The state of '{}'", name));
  const std::function<void()> write = plan(saved);
  saved.check_all_read();
  write();
}

}  // namespace gossip::optim::detail
