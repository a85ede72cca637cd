// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What there is to save, under names: tensors, numbers and texts.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <ATen/core/Tensor.h>

#include <libgossip/base/named_value.h>

namespace gossip::model {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// A state as a list. Its tensors are the live ones, not copies: read them before training goes on.
/// Local.
struct StateDict {
  std::vector<NamedTensor> tensors = {};
  std::vector<NamedValue> values = {};

  void add(std::string name, at::Tensor tensor) {
    tensors.push_back({std::move(name), std::move(tensor)});
  }
  void add(std::string name, Value value) { values.push_back({std::move(name), std::move(value)}); }

  /// All entries of `part`, with `prefix` in front of their names.
  void add_part(std::string_view prefix, const StateDict& part);

  /// The entries whose names begin with `prefix`, without it.
  [[nodiscard]] StateDict part(std::string_view prefix) const;
};

/// "Float [16, 3]"
[[nodiscard]] std::string description_of(const at::Tensor& tensor);

/// Reads a saved state entry by entry, and refuses one that is for something else. Nothing is
/// written anywhere: whoever loads reads all first, and then writes.
///
/// Errors: gossip::Error that names the entry, what is saved and what is needed.
class StateReader {
 public:
  /// `what` begins the messages: "The state of 'gossip-sgd'". `state` must outlive the reader.
  StateReader(const StateDict& state, std::string what);

  [[nodiscard]] bool has_tensor(const std::string& name) const { return tensors_.contains(name); }
  [[nodiscard]] bool has_value(const std::string& name) const { return values_.contains(name); }

  /// The tensor of that name, which has the shape and the element type of `like`.
  [[nodiscard]] at::Tensor tensor(const std::string& name, const at::Tensor& like);

  /// The tensor of that name, of any shape and type.
  [[nodiscard]] at::Tensor tensor(const std::string& name);

  /// The value of that name; T is bool, std::int64_t, double or std::string.
  template <class T>
  [[nodiscard]] T value(const std::string& name) {
    const Value& found = find(name);
    if (const T* typed = std::get_if<T>(&found)) return *typed;
    refuse_type(name);
  }

  /// The values that have not been read yet and whose names begin with `prefix`, without it, in the
  /// order of the state.
  [[nodiscard]] std::vector<NamedValue> rest(std::string_view prefix);

  /// Throws unless all entries have been read: those left belong to something that is not here.
  /// Those whose names begin with `except` are somebody else's, unless it is empty.
  void check_all_read(std::string_view except = {}) const;

  [[nodiscard]] const std::string& what() const noexcept { return what_; }

 private:
  [[nodiscard]] const Value& find(const std::string& name);
  [[noreturn]] void refuse_type(const std::string& name) const;

  std::string what_;
  const StateDict& state_;
  std::unordered_map<std::string, at::Tensor> tensors_;
  std::unordered_map<std::string, const Value*> values_;
  std::unordered_set<std::string> read_;
};

}  // namespace gossip::model
