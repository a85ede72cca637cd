// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/optim/archive_state.h>
#include <libgossip/optim/estimator_state.h>
#include <libgossip/optim/loopless_svrg.h>

namespace gossip::optim {
namespace {

constexpr const char* kLooplessSVRG = "loopless-svrg";

}  // namespace

LooplessSVRG::LooplessSVRG(torch::nn::Module& module, FullLoss full_loss,
                           const LooplessSVRGOptions& options)
    : gradient_(module),
      full_loss_(std::move(full_loss)),
      options_(options),
      snapshot_(gradient_.zeros()),
      full_(gradient_.zeros()) {
  const double p = options_.probability();
  GOSSIP_CHECK(p > 0.0 && p <= 1.0,
               "The probability of a snapshot is {}: it must be above 0 and at most 1.", p);
  GOSSIP_CHECK(options_.parts() > 0, "The full loss has {} parts: there must be at least 1.",
               options_.parts());
  GOSSIP_CHECK(full_loss_ != nullptr, "The full loss is an empty function.");
}

at::Tensor LooplessSVRG::backward(const GradientAt::LossClosure& loss) {
  SplitMix64 coin = SplitMix64::at(options_.seed(), static_cast<std::uint64_t>(step_));
  if (!has_snapshot_ || coin.unit() < options_.probability()) renew();
  const GradientAt::Evaluation then = gradient_.at(snapshot_, loss);
  const GradientAt::Evaluation now = gradient_.here(loss);

  const at::NoGradGuard no_grad;
  const GradientAt::Tensors gradients = gradient_.gradients();
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    gradients[k].copy_(now.gradient[k]).sub_(then.gradient[k]).add_(full_[k]);
  }
  ++step_;
  return now.loss;
}

/// Makes the present parameters the snapshot. Buffers stay as they are.
void LooplessSVRG::renew() {
  has_snapshot_ = false;
  copy_(snapshot_, gradient_.parameters());
  for (const at::Tensor& full : full_) full.zero_();
  for (std::int64_t part = 0; part < options_.parts(); ++part) {
    const GradientAt::Evaluation evaluation =
        gradient_.at(snapshot_, [&] { return full_loss_(part); });
    for (std::size_t k = 0; k < full_.size(); ++k) full_[k].add_(evaluation.gradient[k]);
  }
  for (const at::Tensor& full : full_) full.div_(options_.parts());
  has_snapshot_ = true;
  ++snapshots_;
}

GradientAt::Tensors LooplessSVRG::state() const {
  GradientAt::Tensors tensors = snapshot_;
  tensors.insert(tensors.end(), full_.begin(), full_.end());
  return tensors;
}

model::StateDict LooplessSVRG::state_dict() const {
  model::StateDict result = detail::estimator_state(kLooplessSVRG, state());
  result.add("probability", Value(options_.probability()));
  result.add("seed", Value(static_cast<std::int64_t>(options_.seed())));
  result.add("step", Value(step_));
  result.add("snapshots", Value(snapshots_));
  result.add("has_snapshot", Value(has_snapshot_));
  return result;
}

std::function<void()> LooplessSVRG::plan_load(model::StateReader& saved) {
  auto load_tensors = detail::plan_estimator(saved, kLooplessSVRG, state());
  return [this, load_tensors, probability = saved.value<double>("probability"),
          seed = saved.value<std::int64_t>("seed"), step = saved.value<std::int64_t>("step"),
          snapshots = saved.value<std::int64_t>("snapshots"),
          has_snapshot = saved.value<bool>("has_snapshot")] {
    load_tensors();
    options_.probability(probability);
    options_.seed(static_cast<std::uint64_t>(seed));
    step_ = step;
    snapshots_ = snapshots;
    has_snapshot_ = has_snapshot;
  };
}

void LooplessSVRG::save(torch::serialize::OutputArchive& archive) const {
  write_state(archive, state_dict());
}

void LooplessSVRG::load(torch::serialize::InputArchive& archive) {
  detail::load_estimator(archive, kLooplessSVRG,
                         [this](model::StateReader& saved) { return plan_load(saved); });
}

}  // namespace gossip::optim
