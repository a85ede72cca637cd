// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <variant>

#include <torch/serialize/archive.h>

#include <libgossip/optim/archive_state.h>

namespace gossip::optim {

void write_state(torch::serialize::OutputArchive& archive, const model::StateDict& state) {
  for (const NamedValue& entry : state.values) {
    std::visit([&](const auto& value) { archive.write(entry.name, c10::IValue(value)); },
               entry.value);
  }
  for (const model::NamedTensor& entry : state.tensors) {
    archive.write(entry.name, entry.tensor, /*is_buffer=*/true);
  }
}

model::StateDict read_state(torch::serialize::InputArchive& archive) {
  model::StateDict result;
  for (const std::string& key : archive.keys()) {
    c10::IValue value;
    if (!archive.try_read(key, value)) continue;
    if (value.isTensor()) {
      result.add(key, value.toTensor());
    } else if (value.isBool()) {
      result.add(key, Value(value.toBool()));
    } else if (value.isInt()) {
      result.add(key, Value(value.toInt()));
    } else if (value.isDouble()) {
      result.add(key, Value(value.toDouble()));
    } else if (value.isString()) {
      result.add(key, Value(value.toStringRef()));
    }
  }
  return result;
}

}  // namespace gossip::optim
