// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <span>

#include <libgossip/base/log.h>
#include <libgossip/kernels/finite.h>
#include <libgossip/optim/divergence_notice.h>

namespace gossip::optim {
namespace {

constexpr std::int64_t kStepsBetweenModels = 100;

/// An element of a dense tensor, by its place in memory.
double element(const at::Tensor& tensor, std::int64_t place) {
  return tensor.scalar_type() == at::kDouble ? tensor.const_data_ptr<double>()[place]
                                             : tensor.const_data_ptr<float>()[place];
}

bool is_readable(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.layout() == at::kStrided && tensor.numel() > 0 &&
         (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble);
}

/// One element of the gradient, another in each step; 0 where there is none to read.
double sample(const at::Tensor& gradient, std::int64_t step) {
  constexpr std::int64_t kStride = 7919;  // a prime: it comes to all elements
  if (!gradient.defined() || !is_readable(gradient)) return 0.0;
  const bool is_dense = gradient.is_non_overlapping_and_dense();
  return element(gradient, is_dense ? step * kStride % gradient.numel() : 0);
}

/// 0 unless it is a scalar on the CPU.
double value_of(const at::Tensor& loss) {
  return loss.defined() && loss.numel() == 1 && is_readable(loss) ? element(loss, 0) : 0.0;
}

bool is_lost(const DivergenceNotice::Finding& finding) { return !std::isfinite(finding.value); }

DivergenceNotice::Finding find(const model::FlatModel& model, std::int64_t step) {
  for (const model::FlatModel::Parameter& entry : model.entries()) {
    const double value = sample(entry.tensor.grad(), step);
    if (!std::isfinite(value)) return {value, &entry};
  }
  return {};
}

/// Parameters are views of the flat model: without gaps.
template <class T>
bool is_finite(const at::Tensor& parameter) {
  return kernels::is_finite(std::span<const T>(parameter.const_data_ptr<T>(),
                                               static_cast<std::size_t>(parameter.numel())));
}

/// The first parameter that does not only hold numbers; null when all do.
const model::FlatModel::Parameter* find_lost(const model::FlatModel& model) {
  for (const model::FlatModel::Parameter& entry : model.entries()) {
    const bool is_double = entry.tensor.scalar_type() == at::kDouble;
    if (!(is_double ? is_finite<double>(entry.tensor) : is_finite<float>(entry.tensor))) {
      return &entry;
    }
  }
  return nullptr;
}

}  // namespace

void DivergenceNotice::look_before_mean(const model::FlatModel& model, std::int64_t step) {
  if (!has_warned_) note(find(model, step), step);
}

/// What a pass adds to a mean that was no number cannot be told from it.
void DivergenceNotice::note(const Finding& found, std::int64_t step) {
  if (!is_lost(found) || lost_mean_ != step) own_ = found;
}

void DivergenceNotice::look_after_mean(const model::FlatModel& model, std::int64_t step) {
  if (!has_warned_ && is_lost(find(model, step))) lost_mean_ = step;
}

void DivergenceNotice::look(const model::FlatModel& model, const at::Tensor& loss, Rank rank,
                            std::int64_t step, bool is_mean) {
  if (has_warned_) return;
  const Finding used = find(model, step);
  if (!is_mean) note(used, step);
  Finding found = is_lost(used) ? own_ : Finding();  // the program may have mended it
  if (const double value = value_of(loss); !std::isfinite(value)) found = {value};
  if (!is_lost(used) && !is_lost(found) && step % kStepsBetweenModels != 0) return;
  const model::FlatModel::Parameter* lost = find_lost(model);
  if (!is_lost(found) && lost == nullptr) return;
  has_warned_ = true;
  if (lost != nullptr) {
    log(LogLevel::kWarning, rank,
        "The model of rank {} is not finite before step {} ('{}'): it came from another rank, or "
        "from this one's last updates. The run is lost, on all ranks that mix with this one.",
        rank, step, lost->name);
    return;
  }
  log(LogLevel::kWarning, rank,
      "{} is {} on rank {} in step {}, where the model was finite: are its data numbers, and is "
      "the learning rate small enough? The run is lost, on all ranks that mix with this one.",
      found.parameter ? fmt::format("The gradient of '{}'", found.parameter->name) : "The loss",
      std::isnan(found.value) ? "nan" : "infinite", rank, step);
}

}  // namespace gossip::optim
