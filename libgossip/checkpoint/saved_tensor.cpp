// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/checkpoint/saved_tensor.h>

namespace gossip::checkpoint {
namespace {

constexpr std::array kTypes{std::pair{at::kDouble, "F64"},
                            std::pair{at::kFloat, "F32"},
                            std::pair{at::kHalf, "F16"},
                            std::pair{at::kBFloat16, "BF16"},
                            std::pair{at::kFloat8_e4m3fn, "F8_E4M3"},
                            std::pair{at::kFloat8_e5m2, "F8_E5M2"},
                            std::pair{at::kComplexFloat, "C64"},
                            std::pair{at::kLong, "I64"},
                            std::pair{at::kInt, "I32"},
                            std::pair{at::kShort, "I16"},
                            std::pair{at::kChar, "I8"},
                            std::pair{at::kUInt64, "U64"},
                            std::pair{at::kUInt32, "U32"},
                            std::pair{at::kUInt16, "U16"},
                            std::pair{at::kByte, "U8"},
                            std::pair{at::kBool, "BOOL"}};

void require(bool holds, const std::string& name, const char* why) {
  GOSSIP_CHECK(holds,
               "The tensor '{}' {}, which a checkpoint cannot hold: save it in another form, or do "
               "not register it.",
               name, why);
}

}  // namespace

TensorInfo info_of(const model::NamedTensor& entry) {
  const at::Tensor& tensor = entry.tensor;
  require(tensor.defined(), entry.name, "is undefined");
  require(tensor.layout() == at::kStrided && !tensor.is_nested(), entry.name,
          "is sparse or of another layout without plain memory");
  require(!tensor.is_meta(), entry.name, "has no memory (it is on the device 'meta')");
  const auto* const type = std::ranges::find(kTypes, tensor.scalar_type(),
                                             [](const auto& known) { return known.first; });
  GOSSIP_CHECK(type != kTypes.end(),
               "The tensor '{}' is {}, which a checkpoint cannot hold: safetensors has no such "
               "type. Convert it, or do not register it.",
               entry.name, model::description_of(tensor));
  return {.name = entry.name, .dtype = type->second, .shape = tensor.sizes().vec()};
}

void copy_to(std::byte* memory, const at::Tensor& tensor) {
  if (tensor.numel() == 0) return;
  const bool is_lazy = tensor.is_conj() || tensor.is_neg();  // to be conjugated or negated yet
  if (tensor.is_cpu() && tensor.is_contiguous() && !is_lazy) {
    std::memcpy(memory, tensor.data_ptr(), tensor.nbytes());
  } else {
    const at::NoGradGuard no_grad;
    torch::from_blob(memory, tensor.sizes(), tensor.options().device(at::kCPU)).copy_(tensor);
  }
}

at::Tensor tensor_of(const TensorInfo& info, std::byte* memory) {
  const auto* const type =
      std::ranges::find(kTypes, info.dtype, [](const auto& known) { return known.second; });
  GOSSIP_CHECK(type != kTypes.end(), "The tensor '{}' has the type '{}', which LibTorch lacks.",
               info.name, info.dtype);
  return torch::from_blob(memory, info.shape, at::dtype(type->first));
}

}  // namespace gossip::checkpoint
