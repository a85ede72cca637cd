// SPDX-License-Identifier: Apache-2.0
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <libgossip/checkpoint/module_state.h>
#include <libgossip/checkpoint/saved_tensor.h>
#include <libgossip/model/memory.h>

namespace gossip::checkpoint {

model::StateDict module_state(const torch::nn::Module& module) {
  model::StateDict result;
  std::unordered_set<const void*> seen;
  for (const auto& items : {module.named_parameters(), module.named_buffers()}) {
    for (const auto& item : items) {
      const at::Tensor& tensor = item.value();
      if (!tensor.defined() || !seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
      result.add(item.key(), tensor);
    }
  }
  return result;
}

std::function<void()> plan_module_state(const torch::nn::Module& module,
                                        model::StateReader& saved) {
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const model::NamedTensor& entry : module_state(module).tensors) {
    copies.emplace_back(entry.tensor, saved.tensor(entry.name, entry.tensor));
  }
  return [copies] {
    for (const auto& [to, from] : copies) model::assign_(to, from);
  };
}

at::Tensor random_state() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

void set_random_state(const at::Tensor& state) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state.clone());
}

}  // namespace gossip::checkpoint
