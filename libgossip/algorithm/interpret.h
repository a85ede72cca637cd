// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What stages mean: the core that the drivers of methods share.
///
/// A driver (engine::StagedWorker for one rank, sim::StagedSimulation for all workers) says what is
/// done at each stage; which stages there are, what they read and change, and with which factors,
/// is said here. Nothing here allocates.

#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <libgossip/algorithm/stage.h>
#include <libgossip/kernels/vector.h>

namespace gossip::algorithm {

/// Combinations that follow each other, at least one: a driver may take them together, block by
/// block.
class Combinations {
 public:
  /// `stages` are combinations, and stay where they are as long as this is used.
  explicit Combinations(Stages stages) : stages_(stages) {}

  [[nodiscard]] std::size_t size() const noexcept { return stages_.size(); }
  [[nodiscard]] const Combine& operator[](std::size_t index) const {
    return std::get<Combine>(stages_[index]);
  }
  [[nodiscard]] Combinations first(std::size_t count) const {
    return Combinations(stages_.first(count));
  }

  [[nodiscard]] bool reads(int vector) const;
  [[nodiscard]] bool changes(int vector) const;
  [[nodiscard]] bool uses_rate() const;

 private:
  Stages stages_;
};

/// How many combinations `stages` begin with.
[[nodiscard]] std::size_t num_leading_combinations(Stages stages);

/// Calls `take` with each of the stages in their order, as what it is: Evaluate, LocalUpdate,
/// Compress, Mix and Mean one by one, combinations that follow each other as Combinations.
template <class Take>
void walk(Stages stages, Take&& take) {
  while (!stages.empty()) {
    const std::size_t count = num_leading_combinations(stages);
    if (count > 0) {
      take(Combinations(stages.first(count)));
      stages = stages.subspan(count);
      continue;
    }
    std::visit(
        [&]<class One>(const One& stage) {
          if constexpr (!std::is_same_v<One, Combine>) take(stage);
        },
        stages.front());
    stages = stages.subspan(1);
  }
}

/// The first stage of a kind; null without one.
template <class Kind>
[[nodiscard]] const Kind* find(Stages stages) noexcept {
  for (const Stage& stage : stages) {
    if (const Kind* found = std::get_if<Kind>(&stage)) return found;
  }
  return nullptr;
}

template <class Kind>
[[nodiscard]] bool has(Stages stages) noexcept {
  return find<Kind>(stages) != nullptr;
}

/// What comes before the gradient; nothing in a step that evaluates none.
[[nodiscard]] Stages before_gradient(Stages step) noexcept;

/// What comes after it: the whole step, if it evaluates none.
[[nodiscard]] Stages after_gradient(Stages step) noexcept;

/// What comes before the first stage that needs other ranks: Mix or Mean.
[[nodiscard]] Stages before_communication(Stages stages) noexcept;

/// Whether the stages after a mean take it for what it is, so that they would be wrong without it.
[[nodiscard]] bool relies_on_mean(Stages step) noexcept;

/// Whether it is among the terms.
[[nodiscard]] bool reads(const Combine& stage, int vector) noexcept;

/// Whether a combination, a compression or a mixing changes the vector.
[[nodiscard]] bool changes(const Stage& stage, int vector) noexcept;

/// Whether anything goes by R, or by C.
[[nodiscard]] bool pulls(const Mix& stage) noexcept;
[[nodiscard]] bool pushes(const Mix& stage) noexcept;

/// Whether a factor depends on the learning rate, or on the push-sum weight.
[[nodiscard]] bool uses_rate(const Combine& stage) noexcept;
[[nodiscard]] bool uses_weight(const Combine& stage) noexcept;

/// The factor of a term where the learning rate is `rate` and the push-sum weight `weight`.
[[nodiscard]] double factor_of(const Term& term, double rate, double weight) noexcept;

/// Where a fragment of a vector of `size` elements begins, and where it ends.
[[nodiscard]] std::pair<std::size_t, std::size_t> range_of(const Fragment& fragment,
                                                           std::size_t size) noexcept;

/// Writes what kernels::combine() takes into `sources`. `data_of(vector)` is where the elements to
/// be combined begin.
template <class T, class DataOf>
void list_sources(const Combine& stage, double rate, double weight, const DataOf& data_of,
                  std::vector<kernels::Source<T>>& sources) {
  sources.clear();
  for (const Term& term : stage.terms) {
    sources.push_back({data_of(term.vector), factor_of(term, rate, weight)});
  }
}

}  // namespace gossip::algorithm
