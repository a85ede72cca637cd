// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <concepts>
#include <cstring>
#include <memory>
#include <sstream>
#include <string_view>
#include <typeinfo>
#include <unordered_set>
#include <utility>
#include <vector>

#include <c10/util/Type.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/model/local_state.h>

namespace gossip::model {
namespace {

constexpr const char* kType = "type";
constexpr const char* kSerialized = "serialized";

// What is saved of options and of a parameter's state. `visit` takes a name and a reference.

void visit_fields(torch::optim::SGDOptions& options, auto&& visit) {
  visit("lr", options.lr());
  visit("momentum", options.momentum());
  visit("dampening", options.dampening());
  visit("weight_decay", options.weight_decay());
  visit("nesterov", options.nesterov());
}
void visit_fields(torch::optim::SGDParamState& state, auto&& visit) {
  visit("momentum_buffer", state.momentum_buffer());
}

template <class T, class... Others>
concept OneOf = (std::same_as<T, Others> || ...);

void visit_fields(OneOf<torch::optim::AdamOptions, torch::optim::AdamWOptions> auto& options,
                  auto&& visit) {
  visit("lr", options.lr());
  visit("beta1", std::get<0>(options.betas()));
  visit("beta2", std::get<1>(options.betas()));
  visit("eps", options.eps());
  visit("weight_decay", options.weight_decay());
  visit("amsgrad", options.amsgrad());
}
void visit_fields(OneOf<torch::optim::AdamParamState, torch::optim::AdamWParamState> auto& state,
                  auto&& visit) {
  visit("step", state.step());
  visit("exp_avg", state.exp_avg());
  visit("exp_avg_sq", state.exp_avg_sq());
  visit("max_exp_avg_sq", state.max_exp_avg_sq());
}

void visit_fields(torch::optim::RMSpropOptions& options, auto&& visit) {
  visit("lr", options.lr());
  visit("alpha", options.alpha());
  visit("eps", options.eps());
  visit("weight_decay", options.weight_decay());
  visit("momentum", options.momentum());
  visit("centered", options.centered());
}
void visit_fields(torch::optim::RMSpropParamState& state, auto&& visit) {
  visit("step", state.step());
  visit("square_avg", state.square_avg());
  visit("momentum_buffer", state.momentum_buffer());
  visit("grad_avg", state.grad_avg());
}

void visit_fields(torch::optim::AdagradOptions& options, auto&& visit) {
  visit("lr", options.lr());
  visit("lr_decay", options.lr_decay());
  visit("weight_decay", options.weight_decay());
  visit("initial_accumulator_value", options.initial_accumulator_value());
  visit("eps", options.eps());
}
void visit_fields(torch::optim::AdagradParamState& state, auto&& visit) {
  visit("step", state.step());
  visit("sum", state.sum());
}

constexpr const char* kIndices = ".indices";
constexpr const char* kValues = ".values";
constexpr const char* kIsCoalesced = ".is_coalesced";

/// Tensors that a state does not use are undefined and left out. Of a sparse one, as momentum is
/// where the gradient is sparse, the parts are added: whatever holds the state has no sparse ones.
void add_tensor(StateDict& result, const std::string& name, const at::Tensor& tensor) {
  if (!tensor.defined()) return;
  if (!tensor.is_sparse()) return result.add(name, tensor);
  result.add(name + kIndices, tensor._indices());
  result.add(name + kValues, tensor._values());
  result.add(name + kIsCoalesced, Value(tensor.is_coalesced()));
}

bool has_tensor(const StateReader& saved, const std::string& name) {
  return saved.has_tensor(name) || saved.has_tensor(name + kValues);
}

/// What add_tensor() added, of the parameter's shape and type.
at::Tensor read_tensor(StateReader& saved, const std::string& name, const at::Tensor& parameter) {
  if (!has_tensor(saved, name)) return {};
  if (saved.has_tensor(name)) return saved.tensor(name, parameter).clone();
  return at::sparse_coo_tensor(saved.tensor(name + kIndices).clone(),
                               saved.tensor(name + kValues).clone(), parameter.sizes(),
                               parameter.options().layout(at::kSparse))
      ._coalesced_(saved.value<bool>(name + kIsCoalesced));
}

/// Adds each visited field.
auto adding_to(StateDict& result, const std::string& prefix) {
  return [&result, prefix]<class T>(const char* name, T& field) {
    if constexpr (std::is_same_v<T, at::Tensor>) {
      add_tensor(result, prefix + name, field);
    } else {
      result.add(prefix + name, Value(field));
    }
  };
}

/// Reads each visited field.
auto reading_from(StateReader& saved, const std::string& prefix, const at::Tensor& parameter) {
  return [&saved, &parameter, prefix]<class T>(const char* name, T& field) {
    if constexpr (std::is_same_v<T, at::Tensor>) {
      field = read_tensor(saved, prefix + name, parameter);
    } else {
      field = saved.value<T>(prefix + name);
    }
  };
}

std::string group_prefix(std::size_t group) { return fmt::format("group.{}.", group); }

/// All parameters, each once, with their names.
std::vector<std::pair<std::string, at::Tensor>> parameters_of(const torch::optim::Optimizer& local,
                                                              const ParameterName& name_of) {
  std::vector<std::pair<std::string, at::Tensor>> result;
  std::unordered_set<const void*> seen;
  for (const torch::optim::OptimizerParamGroup& group : local.param_groups()) {
    for (const at::Tensor& parameter : group.params()) {
      if (!seen.insert(parameter.unsafeGetTensorImpl()).second) continue;
      result.emplace_back(name_of(parameter) + ".", parameter);
    }
  }
  return result;
}

/// The names of a group's parameters: which belong together is a part of the state.
std::string members_of(const torch::optim::OptimizerParamGroup& group,
                       const ParameterName& name_of) {
  std::vector<std::string> names;
  for (const at::Tensor& parameter : group.params()) names.push_back(name_of(parameter));
  return fmt::format("{}", fmt::join(names, " "));
}

/// How a known local optimizer is saved and loaded.
struct Kind {
  std::string_view name;
  const std::type_info& type;
  void (*add)(const torch::optim::Optimizer&, const ParameterName&, StateDict&);
  std::function<void()> (*plan)(torch::optim::Optimizer&, const ParameterName&, StateReader&);
};

template <class Options, class State>
void add_known(const torch::optim::Optimizer& local, const ParameterName& name_of,
               StateDict& result) {
  const auto& groups = local.param_groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    Options options = static_cast<const Options&>(groups[g].options());
    visit_fields(options, adding_to(result, group_prefix(g)));
  }
  for (const auto& [prefix, parameter] : parameters_of(local, name_of)) {
    const auto found = local.state().find(parameter.unsafeGetTensorImpl());
    if (found == local.state().end()) continue;
    visit_fields(static_cast<State&>(*found->second), adding_to(result, prefix));
  }
}

template <class State>
bool has_state(const StateReader& saved, const std::string& prefix) {
  bool result = false;
  State state;
  visit_fields(state, [&]<class T>(const char* name, T& /*field*/) {
    result |= has_tensor(saved, prefix + name) || saved.has_value(prefix + name);
  });
  return result;
}

template <class Options, class State>
std::function<void()> plan_known(torch::optim::Optimizer& local, const ParameterName& name_of,
                                 StateReader& saved) {
  // std::function wants what it holds to be copyable.
  struct Plan {
    std::vector<Options> options;
    std::vector<std::pair<at::Tensor, std::unique_ptr<State>>> states;
  };
  const auto plan = std::make_shared<Plan>();
  const at::Tensor none;  // options have no tensors
  for (std::size_t g = 0; g < local.param_groups().size(); ++g) {
    plan->options.push_back(static_cast<const Options&>(local.param_groups()[g].options()));
    visit_fields(plan->options.back(), reading_from(saved, group_prefix(g), none));
  }
  for (const auto& [prefix, parameter] : parameters_of(local, name_of)) {
    std::unique_ptr<State> state;
    if (has_state<State>(saved, prefix)) {
      state = std::make_unique<State>();
      visit_fields(*state, reading_from(saved, prefix, parameter));
    }
    plan->states.emplace_back(parameter, std::move(state));
  }
  return [&local, plan] {
    for (std::size_t g = 0; g < plan->options.size(); ++g) {
      static_cast<Options&>(local.param_groups()[g].options()) = plan->options[g];
    }
    for (auto& [parameter, state] : plan->states) {
      if (state) {
        local.state()[parameter.unsafeGetTensorImpl()] = std::move(state);
      } else {
        local.state().erase(parameter.unsafeGetTensorImpl());
      }
    }
  };
}

template <class Local, class Options, class State>
Kind kind(std::string_view name) {
  return {name, typeid(Local), add_known<Options, State>, plan_known<Options, State>};
}

/// Null for a local optimizer that is not known. A class derived from a known one is not: it may
/// keep more.
const Kind* kind_of(const torch::optim::Optimizer& local) {
  namespace to = torch::optim;
  static const std::array kKinds{
      kind<to::SGD, to::SGDOptions, to::SGDParamState>("sgd"),
      kind<to::Adam, to::AdamOptions, to::AdamParamState>("adam"),
      kind<to::AdamW, to::AdamWOptions, to::AdamWParamState>("adamw"),
      kind<to::RMSprop, to::RMSpropOptions, to::RMSpropParamState>("rmsprop"),
      kind<to::Adagrad, to::AdagradOptions, to::AdagradParamState>("adagrad")};
  for (const Kind& kind : kKinds) {
    if (kind.type == typeid(local)) return &kind;
  }
  return nullptr;
}

std::string written(torch::serialize::OutputArchive& archive) {
  std::ostringstream stream;
  archive.save_to(stream);
  return stream.str();
}

std::string serialized(const torch::optim::Optimizer& local) {
  torch::serialize::OutputArchive archive;
  local.save(archive);
  return written(archive);
}

bool is_nothing(const std::string& bytes) {
  torch::serialize::OutputArchive archive;
  return bytes == written(archive);
}

void deserialize(torch::optim::Optimizer& local, const std::string& bytes) {
  torch::serialize::InputArchive archive;
  archive.load_from(bytes.data(), bytes.size());
  local.load(archive);
}

std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.data_ptr()), static_cast<std::size_t>(tensor.numel())};
}

/// What the archive holds shows only when it is loaded: if it is refused, the old state is put
/// back.
std::function<void()> plan_serialized(torch::optim::Optimizer& local, StateReader& saved) {
  const std::string bytes = bytes_of(saved.tensor(kSerialized).contiguous());
  const std::string before = serialized(local);
  try {
    deserialize(local, bytes);
  } catch (const std::exception& error) {
    deserialize(local, before);
    throw Error(fmt::format("{} holds what the local optimizer '{}' cannot load: {}", saved.what(),
                            local_name(local), error.what()));
  }
  deserialize(local, before);
  return [&local, bytes] { deserialize(local, bytes); };
}

}  // namespace

std::string local_name(const torch::optim::Optimizer& local) {
  const Kind* kind = kind_of(local);
  return kind != nullptr ? std::string(kind->name) : c10::demangle(typeid(local).name());
}

bool saves_nothing(const torch::optim::Optimizer& local) {
  return kind_of(local) == nullptr && is_nothing(serialized(local));
}

StateDict local_state(const torch::optim::Optimizer& local, const ParameterName& name_of) {
  StateDict result;
  result.add(kType, local_name(local));
  result.add("groups", static_cast<std::int64_t>(local.param_groups().size()));
  for (std::size_t g = 0; g < local.param_groups().size(); ++g) {
    result.add(group_prefix(g) + "parameters", members_of(local.param_groups()[g], name_of));
  }
  if (const Kind* kind = kind_of(local)) {
    kind->add(local, name_of, result);
  } else {
    const std::string bytes = serialized(local);
    GOSSIP_CHECK(local.state().empty() || !is_nothing(bytes),
                 "The local optimizer '{}' has a state, but its save() writes nothing, so that a "
                 "resume would lose it: override save() and load() in it.",
                 local_name(local));
    const at::Tensor tensor = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
    std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
    result.add(kSerialized, tensor);
  }
  return result;
}

std::function<void()> plan_local_state(torch::optim::Optimizer& local, const ParameterName& name_of,
                                       StateReader& saved) {
  const auto type = saved.value<std::string>(kType);
  GOSSIP_CHECK(type == local_name(local),
               "{} was saved with the local optimizer '{}', but this one is '{}': take '{}', or "
               "start anew.",
               saved.what(), type, local_name(local), type);
  const auto groups = saved.value<std::int64_t>("groups");
  GOSSIP_CHECK(std::cmp_equal(groups, local.param_groups().size()),
               "{} has {} parameter groups, but there are {} here: give the local optimizer the "
               "groups that it was saved with.",
               saved.what(), groups, local.param_groups().size());
  for (std::size_t g = 0; g < local.param_groups().size(); ++g) {
    const auto members = saved.value<std::string>(group_prefix(g) + "parameters");
    const std::string here = members_of(local.param_groups()[g], name_of);
    GOSSIP_CHECK(members == here,
                 "{} has the parameters '{}' in group {}, but here they are '{}': it is of another "
                 "model, or other groups.",
                 saved.what(), members, g, here);
  }
  const Kind* kind = kind_of(local);
  return kind != nullptr ? kind->plan(local, name_of, saved) : plan_serialized(local, saved);
}

}  // namespace gossip::model
