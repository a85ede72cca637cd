// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/algorithm/push_sum_vectors.h>
#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>

namespace gossip::algorithm {

PushSumVectors::PushSumVectors(const std::vector<VectorView>& model)
    : model_(model), layout_(model), memory_(layout_.bytes()) {
  GOSSIP_CHECK(!model.empty(), "Push-sum got a model of no vectors.");
  for (std::size_t v = 0; v < model.size(); ++v) {
    excess_.push_back(layout_.view(memory_, v));
    rules_.emplace_back(model[v], excess_.back());
  }
}

void PushSumVectors::open() {
  if (weight_of_model_ != 1.0) add_model(weight_of_model_ - 1.0);  // and once more the rules
  for (PushSum& rule : rules_) rule.open();
}

double PushSumVectors::send(double share, std::span<std::byte> message, int receivers) {
  double weight = 0.0;
  for (std::size_t v = 0; v < rules_.size(); ++v) {
    weight = rules_[v].send(share, layout_.view(message, v), receivers);
  }
  return weight;
}

void PushSumVectors::absorb(std::span<const std::byte> message, double weight) {
  has_news_ = true;
  for (std::size_t v = 0; v < rules_.size(); ++v) {
    rules_[v].absorb(layout_.view(message, v), weight);
  }
}

void PushSumVectors::close() {
  for (PushSum& rule : rules_) rule.close();
  weight_of_model_ = weight();
  has_news_ = false;
  for (const VectorView& excess : excess_) {
    visit(excess, []<class T>(std::span<T> values) { std::ranges::fill(values, T{0}); });
  }
}

void PushSumVectors::make_up(double weight) {
  add_model(weight);
  for (PushSum& rule : rules_) rule.restore(rule.weight() + weight);
}

void PushSumVectors::add_model(double factor) {
  for (std::size_t v = 0; v < model_.size(); ++v) {
    visit(excess_[v], [&]<class T>(std::span<T> excess) {
      kernels::axpby(factor, std::span<const T>(model_[v].as<T>()), 1.0, excess);
    });
  }
}

void PushSumVectors::restore(double weight) {
  for (PushSum& rule : rules_) rule.restore(weight);
  weight_of_model_ = weight;
}

}  // namespace gossip::algorithm
