// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The flat view of a LibTorch module.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <libgossip/base/vector_view.h>
#include <libgossip/model/memory.h>

namespace torch::nn {
class Module;
}

namespace gossip::model {

/// The trainable parameters of a module in one contiguous buffer an element type; the module's
/// tensors become views of it, so that mixing the buffer mixes the model. A parameter that several
/// layers share stands once. Frozen parameters (requires_grad false) and the module's buffers stay
/// where they are.
///
/// Tensors of the module that are tied by their memory (`b.set_data(a.data())`: same place, type,
/// shape and strides) stay tied, and their elements stand once, too; each parameter keeps its own
/// gradient. Tensors outside the module that share memory with its parameters are left behind with
/// the old memory.
///
/// Memory: one copy of the model, in place of the module's own; gradients() adds one.
///
/// `torch::load`, `module.to(...)` and the like give parameters new memory: restore_aliases()
/// copies the values there into the buffer. Tensors that the program kept of the buffer
/// (`p.detach()`, `p.data()`) then keep the values that they have, in a copy: weights that are
/// swapped out and in again are not lost. Such a tensor holds a whole copy of the model alive.
/// Writing to the buffer between a forward pass and its backward pass corrupts gradients without an
/// error: LibTorch cannot see it.
///
/// Local throughout. The module must outlive this object and may be used without it afterwards,
/// whatever was done to it meanwhile.
/// Errors: gossip::Error for a module without trainable parameters; for parameters that are not
/// float or double, or show an element several times (expand, unfold), and for tensors that are not
/// dense and on the CPU, naming the tensor; and for a parameter that has memory in common with
/// another tensor of the module without being tied to it as above, naming both.
class FlatModel {
 public:
  struct Parameter {
    std::string name;
    at::Tensor tensor;
    std::size_t vector;  ///< which of parameters() it lies in
    std::size_t offset;  ///< first element there; 64-byte aligned
    std::size_t size;    ///< elements
    std::vector<std::int64_t> shape;
    std::size_t gradient_offset;    ///< of its own gradient in separate_gradients()
    bool is_tied;                   ///< whether its elements are those of an entry before it
    std::vector<std::size_t> tied;  ///< of the first of them: the other entries
  };

  explicit FlatModel(torch::nn::Module& module);

  /// The buffers, one an element type. The address changes with move_to() only.
  [[nodiscard]] std::vector<VectorView> parameters() const { return views(flat_); }

  /// Buffers of the same layout for gradients, made at the first call and zero then.
  [[nodiscard]] std::vector<VectorView> gradients();

  /// The same buffers, with the own gradients of parameters that are tied to others behind.
  [[nodiscard]] std::vector<VectorView> separate_gradients();

  /// Keeps what gradients() shows alive, longer than the model if need be.
  [[nodiscard]] std::shared_ptr<const void> gradient_memory();

  /// The parameters in the order of the module, each tensor once.
  [[nodiscard]] const std::vector<Parameter>& entries() const noexcept { return entries_; }

  /// Whether a tensor is that of an entry.
  [[nodiscard]] bool contains(const at::Tensor& parameter) const {
    return known_.contains(parameter.unsafeGetTensorImpl());
  }

  /// Number of trainable elements, without the padding between parameters.
  [[nodiscard]] std::int64_t num_elements() const noexcept { return num_elements_; }

  /// Names, shapes and types of all parameters and buffers in one line, for comparing ranks.
  [[nodiscard]] std::string description() const;

  /// Makes all parameters views of the buffer again, with the values they have now. Cheap when
  /// nothing changed. Throws gossip::Error, naming the parameter, and changes nothing, when one has
  /// another shape, type or device, lies in the buffer at another place or with other strides, is
  /// no longer frozen, or shares new memory with a tensor that it is not tied to; naming both, when
  /// tied ones have different values.
  void restore_aliases();

  /// The tensors that restore_aliases() would make views of the buffer.
  [[nodiscard]] std::vector<at::Tensor> elsewhere() const;

  /// Makes all parameters views of the buffer again, with the values that lie there: what they are
  /// elsewhere is left behind.
  void reset_aliases();

  /// Throws gossip::Error, naming the tensor, when the module has a trainable parameter that is not
  /// here, or a buffer that is not dense and on the CPU: it was registered later. Walks through the
  /// module.
  void check_complete() const;

  /// Moves the buffers to this memory, of the same types and sizes, which must outlive their stay
  /// there; the parameters go with them. Nothing for an empty list.
  void move_to(const std::vector<VectorView>& memory);

  /// Moves the buffers back to memory of the model's own, if they are elsewhere, and all tensors
  /// that refer to them. Does not look at the module.
  void move_to_own_memory() noexcept;

  /// Where an entry's own gradient belongs in separate_gradients().
  [[nodiscard]] VectorView gradient_slice(std::size_t entry);

  /// Copies a parameter's own gradient into its slice; zeros when it has none.
  void gather_gradient(std::size_t entry);

  /// Copies the slice into the parameter's own gradient, and makes one when it has none.
  void scatter_gradient(std::size_t entry);

  /// Copies all gradients into gradients(); of tied parameters their sum.
  void gather_gradients();

  /// Where the parameters' gradients lie, as pieces of vectors with the layout of parameters():
  /// those of the parameters themselves, zeros for those without one, of tied ones their sum, and
  /// copies where their type, shape or order is another one. Valid until the next call, and as long
  /// as nobody replaces the gradients.
  [[nodiscard]] const std::vector<VectorPiece>& find_gradient();

  /// The tensors outside the buffer: frozen parameters and all buffers of the module, as they are
  /// now, each once whatever its names are.
  [[nodiscard]] std::vector<at::Tensor> others() const;

  /// The buffers of the module in floating point (statistics of batch norm) among others().
  [[nodiscard]] std::vector<at::Tensor> float_buffers() const;

  /// As others(), but with those that show the elements of another one.
  [[nodiscard]] std::vector<Holder> outside() const;

 private:
  static constexpr std::size_t kAlignment = 64;  // bytes, of each entry

  /// Tensors that show the same elements of the buffer: an entry, those tied to it, and frozen
  /// parameters and buffers that are.
  struct Group {
    std::size_t entry;  // the first
    std::vector<Holder> members;
  };
  struct Move {
    std::size_t entry;
    std::vector<Holder> members;  // that refer to memory elsewhere
    std::string stayed;           // the name of one that does not
  };

  [[nodiscard]] static std::vector<VectorView> views(const std::vector<at::Tensor>& tensors);
  [[nodiscard]] static at::Tensor slice(const at::Tensor& flat, const Parameter& entry,
                                        std::size_t offset);
  [[nodiscard]] at::Tensor place_of(const Parameter& entry) const {
    return slice(flat_[entry.vector], entry, entry.offset);
  }
  [[nodiscard]] const std::vector<at::Tensor>& gradient_buffers();
  [[nodiscard]] at::Tensor sum_of_gradients(const Parameter& entry) const;
  [[nodiscard]] VectorView zeros(const Parameter& entry);
  void add(const std::string& name, const at::Tensor& tensor);
  void tie();
  void lay_out();
  void zero_padding(const Parameter& entry) const;
  [[nodiscard]] bool is_in_place(const Holder& holder, const Parameter& entry) const;
  void check_frozen() const;
  void check_moves(const std::vector<Move>& moves) const;
  void check_move(const Parameter& entry, const Holder& holder) const;
  void take_in(const std::vector<Move>& moves);

  torch::nn::Module* module_;
  std::vector<Parameter> entries_;
  std::unordered_set<const void*> known_;  // their tensors
  std::vector<Holder> frozen_;
  std::vector<Group> groups_;
  std::vector<at::Tensor> flat_;             // one an element type
  std::vector<std::size_t> gradient_sizes_;  // of each, with those of tied parameters
  std::vector<at::Tensor> gradients_;        // or empty
  std::vector<VectorPiece> pieces_;
  std::vector<at::Tensor> dense_;  // of gradients that do not lie as the parameters do
  at::Tensor zeros_;
  std::int64_t num_elements_ = 0;
  bool is_elsewhere_ = false;
};

/// While it lives, the gradients of the parameters that require one are what lies in `memory`, of
/// the layout of parameters(), and others have none; afterwards they are again what they were.
/// `memory` must outlive it.
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
