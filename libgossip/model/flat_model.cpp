// SPDX-License-Identifier: Apache-2.0
// The parameters in the buffer; flat_gradient.cpp has their gradients.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/model/flat_model.h>
#include <libgossip/model/state_dict.h>

namespace gossip::model {
namespace {

constexpr std::array kTypes{at::kFloat, at::kDouble};

std::int64_t signed_size(std::size_t size) { return narrow<std::int64_t>(size); }

/// Frozen parameters and buffers are sent from where they lie, too.
void check_dense(const Holder& holder) {
  const std::string_view kind = holder.is_buffer ? "buffer" : "parameter";
  GOSSIP_CHECK(holder.tensor.device().is_cpu(),
               "The {} '{}' is on the device {}: this version trains on the CPU only.", kind,
               holder.name, holder.tensor.device().str());
  GOSSIP_CHECK(holder.tensor.layout() == at::kStrided,
               "The {} '{}' is not a dense tensor, but a sparse one or the like, which cannot be "
               "averaged.",
               kind, holder.name);
}

void check_parameter(const std::string& name, const at::Tensor& tensor) {
  GOSSIP_CHECK(std::find(kTypes.begin(), kTypes.end(), tensor.scalar_type()) != kTypes.end(),
               "Parameter '{}' has the element type {}: only float and double models can be mixed.",
               name, c10::toString(tensor.scalar_type()));
  check_dense({.name = name, .tensor = tensor});
  GOSSIP_CHECK(!repeats_elements(tensor),
               "Parameter '{}' shows elements several times (expand, unfold), so that it cannot be "
               "trained without parting them: make it contiguous() first.",
               name);
}

bool has_equal_bytes(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor dense_a = a.contiguous();
  const at::Tensor dense_b = b.contiguous();
  return std::memcmp(dense_a.data_ptr(), dense_b.data_ptr(), dense_a.nbytes()) == 0;
}

}  // namespace

VectorView view_of(const at::Tensor& tensor) {
  GOSSIP_ASSERT(tensor.is_contiguous(), "a tensor of {} elements is not contiguous",
                tensor.numel());
  const Dtype dtype = tensor.scalar_type() == at::kDouble ? Dtype::kFloat64 : Dtype::kFloat32;
  return {dtype, tensor.data_ptr(), narrow<std::size_t>(tensor.numel())};
}

at::Tensor tensor_of(const VectorView& vector) {
  const auto type = vector.dtype == Dtype::kFloat64 ? at::kDouble : at::kFloat;
  return at::from_blob(vector.data, {signed_size(vector.size)}, type);
}

double squared_distance(const VectorView& a, const VectorView& b) {
  return visit(a, [&]<class T>(std::span<T> values) {
    const std::span<T> others = b.as<T>();
    return kernels::squared_distance(std::span<const T>(values), std::span<const T>(others));
  });
}

FlatModel::FlatModel(torch::nn::Module& module) : module_(&module) {
  std::unordered_set<const void*> seen;
  for (const auto& item : module.named_parameters()) {
    const at::Tensor& tensor = item.value();
    if (!seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    if (tensor.requires_grad()) {
      check_parameter(item.key(), tensor);
      add(item.key(), tensor);
    } else {
      frozen_.push_back({.name = item.key(), .tensor = tensor});
    }
  }
  tie();
  GOSSIP_CHECK(
      num_elements_ > 0,
      "The module '{}' has no parameters that require gradients: there is nothing to train.",
      module.name());
  std::vector<Holder> holders = outside();
  for (const Holder& holder : holders) check_dense(holder);
  std::vector<Move> all;
  for (const Group& group : groups_) {
    all.push_back({group.entry, group.members, {}});
    holders.push_back(group.members.front());
    holders.back().moves = true;
  }
  check_separate(std::move(holders));
  lay_out();
  take_in(all);
}

void FlatModel::add(const std::string& name, const at::Tensor& tensor) {
  known_.insert(tensor.unsafeGetTensorImpl());
  entries_.push_back({.name = name,
                      .tensor = tensor,
                      .vector = tensor.scalar_type() == at::kFloat ? std::size_t{0} : 1,
                      .offset = 0,
                      .size = narrow<std::size_t>(tensor.numel()),
                      .shape = tensor.sizes().vec(),
                      .gradient_offset = 0,
                      .is_tied = false,
                      .tied = {}});
}

/// Finds out which tensors of the module show the same elements.
void FlatModel::tie() {
  std::unordered_map<const void*, std::size_t> group_at;
  const auto find = [&](const at::Tensor& tensor) -> Group* {
    const auto found = group_at.find(range_of(tensor).begin);
    if (found == group_at.end()) return nullptr;
    Group& group = groups_[found->second];
    return is_alias(group.members.front().tensor, tensor) ? &group : nullptr;
  };
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Parameter& entry = entries_[i];
    const Holder holder{.name = entry.name, .tensor = entry.tensor};
    if (Group* group = find(entry.tensor)) {
      group->members.push_back(holder);
      entries_[group->entry].tied.push_back(i);
      entry.is_tied = true;
      continue;
    }
    group_at.emplace(range_of(entry.tensor).begin, groups_.size());
    groups_.push_back({i, {holder}});
    num_elements_ += entry.tensor.numel();
  }
  for (const Holder& holder : outside()) {
    if (Group* group = find(holder.tensor)) group->members.push_back(holder);
  }
}

/// Gives each entry its place, and makes the buffers.
void FlatModel::lay_out() {
  std::array<std::size_t, kTypes.size()> sizes{};
  const auto reserve = [&](const Parameter& entry) {
    const std::size_t step = kAlignment / c10::elementSize(kTypes[entry.vector]);
    std::size_t& size = sizes[entry.vector];
    return std::exchange(size, size + (entry.size + step - 1) / step * step);
  };
  for (const Group& group : groups_) {
    Parameter& first = entries_[group.entry];
    first.offset = first.gradient_offset = reserve(first);
    for (const std::size_t other : first.tied) entries_[other].offset = first.offset;
  }
  const std::array<std::size_t, kTypes.size()> of_model = sizes;
  for (Parameter& entry : entries_) {
    if (entry.is_tied) entry.gradient_offset = reserve(entry);
  }
  // Element types that the model does not have get no buffer.
  std::array<std::size_t, kTypes.size()> position{};
  for (std::size_t type = 0; type < kTypes.size(); ++type) {
    position[type] = flat_.size();
    if (std::ranges::find(entries_, type, &Parameter::vector) == entries_.end()) continue;
    flat_.push_back(at::empty({signed_size(of_model[type])}, kTypes[type]));
    gradient_sizes_.push_back(sizes[type]);
  }
  for (Parameter& entry : entries_) {
    entry.vector = position[entry.vector];
    zero_padding(entry);
  }
}

void FlatModel::zero_padding(const Parameter& entry) const {
  const VectorView flat = view_of(flat_[entry.vector]);
  const std::size_t width = size_of(flat.dtype);
  const std::size_t used_bytes = entry.size * width % kAlignment;
  if (used_bytes == 0) return;
  auto* end = static_cast<std::byte*>(flat.data) + (entry.offset + entry.size) * width;
  std::memset(end, 0, kAlignment - used_bytes);
}

std::vector<VectorView> FlatModel::views(const std::vector<at::Tensor>& tensors) {
  std::vector<VectorView> result;
  for (const at::Tensor& tensor : tensors) result.push_back(view_of(tensor));
  return result;
}

at::Tensor FlatModel::slice(const at::Tensor& flat, const Parameter& entry, std::size_t offset) {
  return flat.narrow(0, signed_size(offset), signed_size(entry.size)).view(entry.shape);
}

std::string FlatModel::description() const {
  std::string shapes;
  const auto add_shape = [&](const std::string& name, const at::Tensor& tensor) {
    shapes += fmt::format("{} {}", name, c10::toString(tensor.scalar_type()));
    for (const std::int64_t extent : tensor.sizes()) shapes += fmt::format(",{}", extent);
    shapes += ';';
  };
  for (const Parameter& entry : entries_) add_shape(entry.name, entry.tensor);
  for (const Holder& holder : frozen_) add_shape(holder.name, holder.tensor);
  const auto buffers = module_->named_buffers();
  for (const auto& item : buffers) add_shape(item.key(), item.value());
  for (const Group& group : groups_) {
    for (std::size_t i = 1; i < group.members.size(); ++i) {
      shapes += fmt::format("{} is {};", group.members[i].name, group.members[0].name);
    }
  }
  return fmt::format("{} parameters with {} elements and {} other tensors (shapes {:08x})",
                     entries_.size(), num_elements_, frozen_.size() + buffers.size(),
                     static_cast<std::uint32_t>(std::hash<std::string>{}(shapes)));
}

bool FlatModel::is_in_place(const Holder& holder, const Parameter& entry) const {
  const at::Tensor& tensor = holder.tensor;
  const at::Tensor& flat = flat_[entry.vector];
  if (tensor.scalar_type() != flat.scalar_type()) return false;
  if (tensor.sizes() != at::IntArrayRef(entry.shape)) return false;
  if (entry.size == 0) return true;  // has no address
  const auto* place =
      static_cast<const std::byte*>(flat.data_ptr()) + entry.offset * flat.itemsize();
  return tensor.data_ptr() == place && tensor.is_contiguous();
}

void FlatModel::restore_aliases() {
  check_frozen();
  std::vector<Move> moves;
  for (const Group& group : groups_) {
    const Parameter& entry = entries_[group.entry];
    const auto has_moved = [&](const Holder& holder) { return !is_in_place(holder, entry); };
    if (std::ranges::none_of(group.members, has_moved)) continue;
    moves.push_back({group.entry, {}, {}});
    for (const Holder& holder : group.members) {
      if (has_moved(holder)) {
        moves.back().members.push_back(holder);
      } else {
        moves.back().stayed = holder.name;
      }
    }
  }
  if (moves.empty()) return;
  check_moves(moves);
  take_in(moves);
}

std::vector<at::Tensor> FlatModel::elsewhere() const {
  std::vector<at::Tensor> result;
  for (const Group& group : groups_) {
    for (const Holder& holder : group.members) {
      if (!is_in_place(holder, entries_[group.entry])) result.push_back(holder.tensor);
    }
  }
  return result;
}

void FlatModel::reset_aliases() {
  for (const Group& group : groups_) {
    const Parameter& entry = entries_[group.entry];
    for (const Holder& holder : group.members) {
      if (!is_in_place(holder, entry)) holder.tensor.set_data(place_of(entry));
    }
  }
}

void FlatModel::check_frozen() const {
  for (const Holder& holder : frozen_) {
    GOSSIP_CHECK(!holder.tensor.requires_grad(),
                 "Parameter '{}' was frozen when the optimizer was made and is trainable now, so "
                 "it would train "
                 "without being mixed: make a new optimizer after unfreezing.",
                 holder.name);
  }
}

void FlatModel::check_complete() const {
  check_frozen();
  for (const auto& item : module_->named_parameters()) {
    GOSSIP_CHECK(
        !item.value().requires_grad() || contains(item.value()),
        "Parameter '{}' was registered after the optimizer was made, so that it is not mixed: make "
        "a new optimizer after adding layers.",
        item.key());
  }
  for (const Holder& holder : outside()) check_dense(holder);
}

/// Of a parameter, or what is tied to it, that refers to other memory than the optimizer gave it.
void FlatModel::check_move(const Parameter& entry, const Holder& holder) const {
  const at::Tensor& tensor = holder.tensor;
  const at::Tensor& flat = flat_[entry.vector];
  const at::IntArrayRef shape(entry.shape);
  GOSSIP_CHECK(tensor.scalar_type() == flat.scalar_type() && tensor.sizes() == shape &&
                   tensor.device() == flat.device(),
               "Parameter '{}' was {} [{}] when the optimizer was made and is {} on the device {} "
               "now: convert or load the module first, then make the optimizer.",
               holder.name, c10::toString(flat.scalar_type()), fmt::join(entry.shape, ", "),
               description_of(tensor), tensor.device().str());
  const MemoryRange range = range_of(tensor);
  const auto meets = [&](const at::Tensor& other) { return overlaps(range, range_of(other)); };
  if (std::ranges::none_of(flat_, meets)) return;
  for (const Parameter& other : entries_) {
    GOSSIP_CHECK(!meets(place_of(other)),
                 "Parameter '{}' refers to the memory of '{}' now, in another way than when the "
                 "optimizer was made: tie parameters before it is made, and give them new values "
                 "by copy_() or in memory of their own.",
                 holder.name, other.name);
  }
}

void FlatModel::check_moves(const std::vector<Move>& moves) const {
  std::vector<Holder> holders = outside();
  for (const Move& move : moves) {
    const Parameter& entry = entries_[move.entry];
    const std::size_t first = holders.size();
    for (const Holder& holder : move.members) {
      check_move(entry, holder);
      const auto is_tied = [&](const Holder& other) {
        return is_alias(other.tensor, holder.tensor);
      };
      if (std::any_of(holders.begin() + signed_size(first), holders.end(), is_tied)) continue;
      holders.push_back(holder);
      holders.back().moves = true;
    }
    const at::Tensor& values = move.members.front().tensor;
    for (std::size_t i = first + 1; i < holders.size(); ++i) {
      GOSSIP_CHECK(has_equal_bytes(holders[i].tensor, values),
                   "The parameters '{}' and '{}' were tied when the optimizer was made and have "
                   "different values now: give all tied ones the same.",
                   move.members.front().name, holders[i].name);
    }
    GOSSIP_CHECK(move.stayed.empty() || has_equal_bytes(place_of(entry), values),
                 "The parameter '{}' was given new values in memory of its own, but '{}', which it "
                 "is tied to, was not: give all tied ones the same.",
                 move.members.front().name, move.stayed);
  }
  check_separate(std::move(holders));
}

/// The buffers stay where they are, since others know the address; who else refers to them gets a
/// copy.
void FlatModel::take_in(const std::vector<Move>& moves) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> old = flat_;
  for (at::Tensor& flat : flat_) flat = take_memory(flat);
  for (const Group& group : groups_) {
    const Parameter& entry = entries_[group.entry];
    for (const Holder& holder : group.members) {
      if (is_in_place(holder, entry)) holder.tensor.set_data(place_of(entry));
    }
  }
  for (const at::Tensor& flat : old) {
    if (flat.storage().use_count() > 1) own_storage(flat);
  }
  for (const Move& move : moves) {
    const Parameter& entry = entries_[move.entry];
    place_of(entry).copy_(move.members.front().tensor);
    for (const Holder& holder : move.members) holder.tensor.set_data(place_of(entry));
  }
}

void FlatModel::move_to(const std::vector<VectorView>& memory) {
  if (memory.empty()) return;
  GOSSIP_ASSERT(memory.size() == flat_.size(), "{} vectors for {}", memory.size(), flat_.size());
  for (std::size_t v = 0; v < flat_.size(); ++v) move_storage(flat_[v], memory[v].data);
  is_elsewhere_ = true;
}

void FlatModel::move_to_own_memory() noexcept {
  if (!is_elsewhere_) return;
  for (const at::Tensor& flat : flat_) own_storage(flat);
  is_elsewhere_ = false;
}

/// Frozen parameters and buffers that are not in the buffer.
std::vector<Holder> FlatModel::outside() const {
  std::unordered_set<const void*> inside;
  for (const Group& group : groups_) {
    for (const Holder& holder : group.members) inside.insert(holder.tensor.unsafeGetTensorImpl());
  }
  std::vector<Holder> result;
  const auto add = [&](const Holder& holder) {
    if (inside.insert(holder.tensor.unsafeGetTensorImpl()).second) result.push_back(holder);
  };
  for (const Holder& holder : frozen_) add(holder);
  for (const auto& item : module_->named_buffers()) {
    add({.name = item.key(), .tensor = item.value(), .is_buffer = true});
  }
  return result;
}

std::vector<at::Tensor> FlatModel::others() const {
  std::vector<at::Tensor> result;
  for (const Holder& holder : outside()) result.push_back(holder.tensor);
  return distinct(result);
}

std::vector<at::Tensor> FlatModel::float_buffers() const {
  std::vector<at::Tensor> result;
  for (const Holder& holder : outside()) {
    if (holder.is_buffer && holder.tensor.is_floating_point()) result.push_back(holder.tensor);
  }
  return distinct(result);
}

}  // namespace gossip::model
