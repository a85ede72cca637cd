// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/model/state_dict.h>

namespace gossip::model {
namespace {

constexpr const char* kCure =
    "Load it into the program and with the options that it was saved by, or start anew.";

}  // namespace

void StateDict::add_part(std::string_view prefix, const StateDict& part) {
  for (const NamedTensor& entry : part.tensors) {
    tensors.push_back({std::string(prefix) + entry.name, entry.tensor});
  }
  for (const NamedValue& entry : part.values) {
    values.push_back({std::string(prefix) + entry.name, entry.value});
  }
}

StateDict StateDict::part(std::string_view prefix) const {
  StateDict result;
  for (const NamedTensor& entry : tensors) {
    if (!entry.name.starts_with(prefix)) continue;
    result.tensors.push_back({entry.name.substr(prefix.size()), entry.tensor});
  }
  for (const NamedValue& entry : values) {
    if (!entry.name.starts_with(prefix)) continue;
    result.values.push_back({entry.name.substr(prefix.size()), entry.value});
  }
  return result;
}

std::string description_of(const at::Tensor& tensor) {
  return fmt::format("{} [{}]", c10::toString(tensor.scalar_type()),
                     fmt::join(tensor.sizes(), ", "));
}

StateReader::StateReader(const StateDict& state, std::string what)
    : what_(std::move(what)), state_(state) {
  for (const NamedTensor& entry : state.tensors) tensors_.emplace(entry.name, entry.tensor);
  for (const NamedValue& entry : state.values) values_.emplace(entry.name, &entry.value);
}

at::Tensor StateReader::tensor(const std::string& name, const at::Tensor& like) {
  at::Tensor saved = tensor(name);
  GOSSIP_CHECK(saved.sizes() == like.sizes() && saved.scalar_type() == like.scalar_type(),
               "{} has the tensor '{}' as {}, but {} is needed here: it is of another model. {}",
               what_, name, description_of(saved), description_of(like), kCure);
  return saved;
}

at::Tensor StateReader::tensor(const std::string& name) {
  const auto found = tensors_.find(name);
  GOSSIP_CHECK(found != tensors_.end(), "{} lacks the tensor '{}', which is needed here. {}", what_,
               name, kCure);
  read_.insert(name);
  return found->second;
}

const Value& StateReader::find(const std::string& name) {
  const auto found = values_.find(name);
  GOSSIP_CHECK(found != values_.end(), "{} lacks the value '{}', which is needed here. {}", what_,
               name, kCure);
  read_.insert(name);
  return *found->second;
}

void StateReader::refuse_type(const std::string& name) const {
  throw Error(fmt::format("{} has the value '{}' as another type than is needed here. {}", what_,
                          name, kCure));
}

std::vector<NamedValue> StateReader::rest(std::string_view prefix) {
  std::vector<NamedValue> result;
  for (const NamedValue& entry : state_.values) {
    if (!entry.name.starts_with(prefix) || !read_.insert(entry.name).second) continue;
    result.push_back({entry.name.substr(prefix.size()), entry.value});
  }
  return result;
}

void StateReader::check_all_read(std::string_view except) const {
  const auto is_read = [&](const std::string& name) {
    return read_.contains(name) || (!except.empty() && name.starts_with(except));
  };
  for (const auto& [name, tensor] : tensors_) {
    GOSSIP_CHECK(is_read(name), "{} has the tensor '{}', {}, for which there is no place here. {}",
                 what_, name, description_of(tensor), kCure);
  }
  for (const auto& [name, value] : values_) {
    GOSSIP_CHECK(is_read(name), "{} has the value '{}', for which there is no place here. {}",
                 what_, name, kCure);
  }
}

}  // namespace gossip::model
