// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/optim/archive_state.h>
#include <libgossip/optim/estimator_state.h>
#include <libgossip/optim/saga.h>

namespace gossip::optim {
namespace {

constexpr const char* kSaga = "saga";

}  // namespace

Saga::Saga(torch::nn::Module& module, std::int64_t num_entries)
    : gradient_(module), num_entries_(num_entries), mean_(gradient_.zeros()) {
  GOSSIP_CHECK(num_entries > 0, "SAGA's table has {} entries: there must be at least 1.",
               num_entries);
  for (const at::Tensor& mean : mean_) {
    std::vector<std::int64_t> sizes = mean.sizes().vec();
    sizes.insert(sizes.begin(), num_entries);
    table_.push_back(at::zeros(sizes, mean.options()));
  }
}

at::Tensor Saga::backward(std::int64_t entry, const GradientAt::LossClosure& loss) {
  GOSSIP_CHECK(entry >= 0 && entry < num_entries_,
               "There is no entry {} in SAGA's table: its entries are 0 to {}.", entry,
               num_entries_ - 1);
  const GradientAt::Evaluation now = gradient_.here(loss);

  const at::NoGradGuard no_grad;
  const double share = 1.0 / static_cast<double>(num_entries_);
  const GradientAt::Tensors gradients = gradient_.gradients();
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    const at::Tensor last = table_[k].select(0, entry);
    // With the change c of the entry, c + mean before = (1 - 1/n) c + mean after.
    gradients[k].copy_(now.gradient[k]).sub_(last);
    mean_[k].add_(gradients[k], share);
    gradients[k].mul_(1.0 - share).add_(mean_[k]);
    last.copy_(now.gradient[k]);
  }
  return now.loss;
}

GradientAt::Tensors Saga::state() const {
  GradientAt::Tensors tensors = mean_;
  tensors.insert(tensors.end(), table_.begin(), table_.end());
  return tensors;
}

model::StateDict Saga::state_dict() const { return detail::estimator_state(kSaga, state()); }

std::function<void()> Saga::plan_load(model::StateReader& saved) {
  return detail::plan_estimator(saved, kSaga, state());
}

void Saga::save(torch::serialize::OutputArchive& archive) const {
  write_state(archive, state_dict());
}

void Saga::load(torch::serialize::InputArchive& archive) {
  detail::load_estimator(archive, kSaga,
                         [this](model::StateReader& saved) { return plan_load(saved); });
}

}  // namespace gossip::optim
