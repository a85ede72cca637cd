// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/sim/finite_sum.h>

namespace gossip::sim {
namespace {

void check(const FiniteSum& losses) {
  GOSSIP_CHECK(losses.size >= 1, "There are {} workers: there must be at least 1.", losses.size);
  GOSSIP_CHECK(losses.num_samples >= 1,
               "Each worker has {} samples: there must be at least 1, the same number at each.",
               losses.num_samples);
  GOSSIP_CHECK(losses.component_gradient != nullptr,
               "The gradient of a sample is an empty function.");
}

std::vector<SplitMix64> generators_of(const FiniteSum& losses, std::uint64_t seed) {
  std::vector<SplitMix64> generators;
  for (int worker = 0; worker < losses.size; ++worker) {
    generators.push_back(SplitMix64::at(seed, static_cast<std::uint64_t>(worker)));
  }
  return generators;
}

std::int64_t sample_of(SplitMix64& generator, const FiniteSum& losses) {
  return static_cast<std::int64_t>(generator.below(static_cast<std::uint64_t>(losses.num_samples)));
}

std::span<double> row(std::vector<double>& rows, std::size_t index, std::size_t length) {
  return std::span(rows).subspan(index * length, length);
}

}  // namespace

Saga::Saga(FiniteSum losses, std::uint64_t seed) : losses_(std::move(losses)) {
  check(losses_);
  generators_ = generators_of(losses_, seed);
  means_.resize(generators_.size() * losses_.num_elements);
  table_.resize(means_.size() * static_cast<std::size_t>(losses_.num_samples));
}

void Saga::estimate(Rank worker, std::span<const double> model, std::span<double> gradient) {
  const auto w = static_cast<std::size_t>(worker);
  const std::int64_t sample = sample_of(generators_[w], losses_);
  losses_.component_gradient(worker, sample, model, gradient);
  ++component_gradients_;
  const auto entry =
      w * static_cast<std::size_t>(losses_.num_samples) + static_cast<std::size_t>(sample);
  const std::span<double> last = row(table_, entry, losses_.num_elements);
  const std::span<double> mean = row(means_, w, losses_.num_elements);
  const double share = 1.0 / static_cast<double>(losses_.num_samples);
  for (std::size_t k = 0; k < losses_.num_elements; ++k) {
    const double change = gradient[k] - last[k];
    last[k] = gradient[k];
    gradient[k] = change + mean[k];
    mean[k] += share * change;
  }
}

LooplessSVRG::LooplessSVRG(FiniteSum losses, double probability, std::uint64_t seed)
    : losses_(std::move(losses)), probability_(probability), seed_(seed) {
  check(losses_);
  GOSSIP_CHECK(probability > 0.0 && probability <= 1.0,
               "The probability of a snapshot is {}: it must be above 0 and at most 1.",
               probability);
  generators_ = generators_of(losses_, seed);
  estimates_.resize(generators_.size());
  snapshots_.resize(generators_.size() * losses_.num_elements);
  full_.resize(snapshots_.size());
  component_.resize(losses_.num_elements);
}

void LooplessSVRG::estimate(Rank worker, std::span<const double> model,
                            std::span<double> gradient) {
  const auto w = static_cast<std::size_t>(worker);
  const std::uint64_t number = estimates_[w]++;
  const std::span<double> full = row(full_, w, losses_.num_elements);
  // The same at all workers, and unrelated to what they draw.
  SplitMix64 coin = SplitMix64::at(~seed_, number);
  if (number == 0 || coin.unit() < probability_) {
    renew(worker, model);
    std::ranges::copy(full, gradient.begin());
    return;
  }
  const std::int64_t sample = sample_of(generators_[w], losses_);
  losses_.component_gradient(worker, sample, row(snapshots_, w, losses_.num_elements), component_);
  losses_.component_gradient(worker, sample, model, gradient);
  component_gradients_ += 2;
  for (std::size_t k = 0; k < losses_.num_elements; ++k) gradient[k] += full[k] - component_[k];
}

void LooplessSVRG::renew(Rank worker, std::span<const double> model) {
  const auto w = static_cast<std::size_t>(worker);
  const std::span<double> full = row(full_, w, losses_.num_elements);
  std::ranges::copy(model, row(snapshots_, w, losses_.num_elements).begin());
  std::ranges::fill(full, 0.0);
  for (std::int64_t sample = 0; sample < losses_.num_samples; ++sample) {
    losses_.component_gradient(worker, sample, model, component_);
    kernels::axpby(1.0, std::span<const double>(component_), 1.0, full);
  }
  kernels::scale(full, 1.0 / static_cast<double>(losses_.num_samples));
  component_gradients_ += losses_.num_samples;
}

}  // namespace gossip::sim
