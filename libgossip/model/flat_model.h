// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The flat view of a LibTorch module.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <libgossip/base/vector_view.h>

namespace torch::nn {
class Module;
}

namespace gossip::model {

/// The trainable parameters of a module in one contiguous buffer an element type; the module's
/// tensors become views of it, so that mixing the buffer mixes the model. A parameter that several
/// layers share stands once. Frozen parameters (requires_grad false) and the module's buffers stay
/// where they are.
///
/// Memory: one copy of the model, in place of the module's own; gradients() adds one.
///
/// `torch::load`, `module.to(...)` and the like give parameters new memory: restore_aliases()
/// copies them back into the buffer. Writing to the buffer between a forward pass and its backward
/// pass corrupts gradients without an error: LibTorch cannot see it.
///
/// Local throughout. The module must outlive this object and may be used without it afterwards.
/// Errors: gossip::Error for a module without trainable parameters, and for parameters that are not
/// float or double on the CPU, naming the parameter.
class FlatModel {
 public:
  struct Parameter {
    std::string name;
    at::Tensor tensor;
    std::size_t vector;  ///< which of parameters() it lies in
    std::size_t offset;  ///< first element there; 64-byte aligned
    std::size_t size;    ///< elements
  };

  explicit FlatModel(torch::nn::Module& module);

  /// The buffers, one an element type. The address changes with move_to() only.
  [[nodiscard]] std::vector<VectorView> parameters() const { return views(flat_); }

  /// Buffers of the same layout for gradients, made at the first call and zero then.
  [[nodiscard]] std::vector<VectorView> gradients();

  /// The parameters in the order of the module, each once.
  [[nodiscard]] const std::vector<Parameter>& entries() const noexcept { return entries_; }

  /// Number of trainable elements, without the padding between parameters.
  [[nodiscard]] std::int64_t num_elements() const noexcept { return num_elements_; }

  /// Names, shapes and types of all parameters and buffers in one line, for comparing ranks.
  [[nodiscard]] std::string description() const;

  /// Makes all parameters views of the buffer again, with the values they have now. Cheap when
  /// nothing changed. Throws gossip::Error, naming the parameter, when one has another shape, type
  /// or device, or is no longer frozen.
  void restore_aliases();

  /// Moves the buffers to this memory, of the same types and sizes, which must outlive their stay
  /// there; the parameters become views of it. Nothing for an empty list.
  void move_to(const std::vector<VectorView>& memory);

  /// Moves the buffers back to memory of the model's own, if they are elsewhere.
  void move_to_own_memory();

  /// Where an entry's gradient belongs in gradients().
  [[nodiscard]] VectorView gradient_slice(std::size_t entry);

  /// Copies a parameter's gradient into its slice; zeros when it has none.
  void gather_gradient(std::size_t entry);

  /// Copies the slice into the parameter's gradient, and makes one when it has none.
  void scatter_gradient(std::size_t entry);

  /// Where the parameters' gradients lie, as pieces of vectors with the layout of parameters():
  /// those of the parameters themselves, zeros for those without one. Valid until the next call,
  /// and as long as nobody replaces the gradients.
  [[nodiscard]] const std::vector<VectorPiece>& find_gradient();

  /// The tensors outside the buffer: frozen parameters and all buffers of the module, as they are
  /// now.
  [[nodiscard]] std::vector<at::Tensor> others() const;

  /// The float and double buffers of the module (statistics of batch norm) among others().
  [[nodiscard]] std::vector<at::Tensor> float_buffers() const;

 private:
  [[nodiscard]] static std::vector<VectorView> views(const std::vector<at::Tensor>& tensors);
  [[nodiscard]] at::Tensor slice(const std::vector<at::Tensor>& flat, const Parameter& entry) const;
  [[nodiscard]] const std::vector<at::Tensor>& gradient_buffers();
  void zero_padding(const Parameter& entry) const;
  [[nodiscard]] VectorView zeros(const Parameter& entry);
  void add(const std::string& name, const at::Tensor& tensor, std::vector<std::size_t>& sizes);

  torch::nn::Module* module_;
  std::vector<Parameter> entries_;
  std::vector<Parameter> frozen_;
  std::vector<at::Tensor> flat_;       // one an element type
  std::vector<at::Tensor> gradients_;  // the same layout, or empty
  std::vector<VectorPiece> pieces_;
  std::vector<at::Tensor> dense_;  // of gradients that do not lie as the parameters do
  at::Tensor zeros_;
  std::int64_t num_elements_ = 0;
  bool is_elsewhere_ = false;
};

/// While it lives, the parameters' gradients are what lies in `memory`, of the layout of
/// parameters(); afterwards they are again what they were. `memory` must outlive it.
class LentGradient {
 public:
  LentGradient(const FlatModel& model, const std::vector<VectorView>& memory);
  LentGradient(const LentGradient&) = delete;
  LentGradient& operator=(const LentGradient&) = delete;
  ~LentGradient();

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> own_;  // parameter, gradient
};

/// A tensor on the memory of a vector, which must outlive it.
[[nodiscard]] at::Tensor tensor_of(const VectorView& vector);

/// The elements of a contiguous CPU tensor of floats or doubles.
[[nodiscard]] VectorView view_of(const at::Tensor& tensor);

/// \f$ |a - b|^2 \f$ of two vectors of the same type and size, in double precision.
[[nodiscard]] double squared_distance(const VectorView& a, const VectorView& b);

}  // namespace gossip::model
