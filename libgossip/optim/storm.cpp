// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/optim/archive_state.h>
#include <libgossip/optim/estimator_state.h>
#include <libgossip/optim/storm.h>

namespace gossip::optim {
namespace {

constexpr const char* kStorm = "storm";

}  // namespace

Storm::Storm(torch::nn::Module& module, const StormOptions& options)
    : gradient_(module), previous_(gradient_.zeros()), estimate_(gradient_.zeros()) {
  set_a(options.a());
}

void Storm::set_a(double a) {
  GOSSIP_CHECK(a > 0.0 && a <= 1.0, "STORM's a is {}: it must be above 0 and at most 1.", a);
  a_ = a;
}

at::Tensor Storm::backward(const GradientAt::LossClosure& loss) {
  const bool has_memory = has_previous_ && a_ < 1.0;
  GradientAt::Evaluation before;
  if (has_memory) before = gradient_.at(previous_, loss);
  const GradientAt::Evaluation now = gradient_.here(loss);

  const at::NoGradGuard no_grad;
  for (std::size_t k = 0; k < estimate_.size(); ++k) {
    if (has_memory) {
      estimate_[k].sub_(before.gradient[k]).mul_(1.0 - a_).add_(now.gradient[k]);
    } else {
      estimate_[k].copy_(now.gradient[k]);
    }
  }
  copy_(previous_, gradient_.parameters());
  copy_(gradient_.gradients(), estimate_);
  has_previous_ = true;
  return now.loss;
}

GradientAt::Tensors Storm::state() const {
  GradientAt::Tensors tensors = previous_;
  tensors.insert(tensors.end(), estimate_.begin(), estimate_.end());
  return tensors;
}

model::StateDict Storm::state_dict() const {
  model::StateDict result = detail::estimator_state(kStorm, state());
  result.add("a", Value(a_));
  result.add("has_previous", Value(has_previous_));
  return result;
}

std::function<void()> Storm::plan_load(model::StateReader& saved) {
  return [this, load_tensors = detail::plan_estimator(saved, kStorm, state()),
          a = saved.value<double>("a"), has_previous = saved.value<bool>("has_previous")] {
    load_tensors();
    a_ = a;
    has_previous_ = has_previous;
  };
}

void Storm::save(torch::serialize::OutputArchive& archive) const {
  write_state(archive, state_dict());
}

void Storm::load(torch::serialize::InputArchive& archive) {
  detail::load_estimator(archive, kStorm,
                         [this](model::StateReader& saved) { return plan_load(saved); });
}

}  // namespace gossip::optim
