// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <torch/serialize/archive.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/optim/estimator_state.h>
#include <libgossip/optim/loopless_svrg.h>

namespace gossip::optim {
namespace {

constexpr const char* kName = "loopless-svrg";

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

void LooplessSVRG::save(torch::serialize::OutputArchive& archive) const {
  detail::save_estimator(archive, kName, state());
  archive.write("probability", c10::IValue(options_.probability()));
  archive.write("seed", c10::IValue(static_cast<std::int64_t>(options_.seed())));
  archive.write("step", c10::IValue(step_));
  archive.write("snapshots", c10::IValue(snapshots_));
  archive.write("has_snapshot", c10::IValue(has_snapshot_));
}

void LooplessSVRG::load(torch::serialize::InputArchive& archive) {
  detail::check_estimator(archive, kName);
  const c10::IValue probability = detail::load_value(archive, "probability");
  const c10::IValue seed = detail::load_value(archive, "seed");
  const c10::IValue step = detail::load_value(archive, "step");
  const c10::IValue snapshots = detail::load_value(archive, "snapshots");
  const c10::IValue has_snapshot = detail::load_value(archive, "has_snapshot");
  detail::load_tensors(archive, state());
  options_.probability(probability.toDouble());
  options_.seed(static_cast<std::uint64_t>(seed.toInt()));
  step_ = step.toInt();
  snapshots_ = snapshots.toInt();
  has_snapshot_ = has_snapshot.toBool();
}

}  // namespace gossip::optim
