// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <libgossip/algorithm/push_sum.h>
#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>

namespace gossip::algorithm {
namespace {

/// Shares may exceed 1 by their rounding.
constexpr double kTolerance = 1e-9;

template <class T>
std::span<const T> elements(const VectorView& vector) {
  return vector.as<T>();
}

}  // namespace

PushSum::PushSum(const VectorView& model, const VectorView& excess)
    : model_(model), excess_(excess) {
  GOSSIP_CHECK(
      model.dtype == excess.dtype && model.size == excess.size,
      "Push-sum got a model of {} elements and an excess of {}: they must have one type and "
      "size.",
      model.size, excess.size);
  visit(excess_, []<class T>(std::span<T> e) { std::fill(e.begin(), e.end(), T{0}); });
}

void PushSum::open() {
  visit(excess_,
        [&]<class T>(std::span<T> u) { kernels::axpby(1.0, elements<T>(model_), 1.0, u); });
  kept_ = 1.0;
}

double PushSum::send(double share, const VectorView& message, int receivers) {
  const double sent = share * receivers;
  GOSSIP_CHECK(
      share > 0.0 && receivers >= 1 && sent <= kept_ + kTolerance,
      "Push-sum cannot send a share of {} to {} receivers: {} of the round's start is left.", share,
      receivers, kept_);
  const double part = std::min(share / kept_, 1.0 / receivers);
  visit(excess_,
        [&]<class T>(std::span<T> u) { kernels::split<T>(u, part, receivers, message.as<T>()); });
  const double weight = part * weight_;
  weight_ -= receivers * weight;
  kept_ -= sent;
  return weight;
}

void PushSum::absorb(const VectorView& message, double weight) {
  visit(excess_,
        [&]<class T>(std::span<T> u) { kernels::axpby(1.0, elements<T>(message), 1.0, u); });
  weight_ += weight;
  kept_ = 1.0;
}

void PushSum::close() {
  GOSSIP_CHECK(weight_ > 0.0,
               "The push-sum weight is {} at the end of a round: a worker must keep a share of its "
               "value or receive one.",
               weight_);
  visit(model_,
        [&]<class T>(std::span<T> z) { kernels::divide_out<T>(excess_.as<T>(), weight_, z); });
}

void PushSum::restore(double weight) {
  GOSSIP_CHECK(weight > 0.0 && std::isfinite(weight),
               "The push-sum weight is {}: it must be a positive number.", weight);
  weight_ = weight;
}

}  // namespace gossip::algorithm
