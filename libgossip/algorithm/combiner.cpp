// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <span>

#include <libgossip/algorithm/combiner.h>

namespace gossip::algorithm {
namespace {

/// Elements that stay in the second-level cache while several combinations pass over them.
constexpr std::size_t kBlock = 8192;

}  // namespace

void Combiner::combine(const Combinations& combinations, const Scales& scales,
                       const std::vector<VectorPiece>* gradient) {
  count_passes(combinations);
  if (gradient != nullptr) {
    for (const VectorPiece& piece : *gradient) {
      combine(combinations, scales,
              {piece.vector, piece.offset, piece.offset + piece.values.size, &piece});
    }
    return;
  }
  const std::vector<VectorView>& model = vectors_[kModel];
  for (std::size_t part = 0; part < model.size(); ++part) {
    combine(combinations, scales, {part, 0, model[part].size});
  }
}

void Combiner::combine(const Combinations& combinations, const Scales& scales, Range range) {
  const std::size_t size = vectors_[kModel][range.part].size;
  const std::size_t end = range.end;
  for (std::size_t begin = range.begin; begin < end; begin += kBlock) {
    for (std::size_t i = 0; i < combinations.size(); ++i) {
      const auto [first, last] = range_of(combinations[i].fragment, size);
      range.begin = std::max(begin, first);
      range.end = std::min({begin + kBlock, end, last});
      if (range.begin < range.end) combine(combinations[i], scales, range);
    }
  }
}

void Combiner::combine(const Combine& stage, const Scales& scales, const Range& range) {
  const auto view = [&](int vector) {
    return vectors_[static_cast<std::size_t>(vector)][range.part];
  };
  visit(view(stage.vector), [&]<class T>(std::span<T> out) {
    auto& sources = std::get<std::vector<kernels::Source<T>>>(sources_);
    const auto data_of = [&](int vector) -> const T* {
      if (vector == kGradient && range.gradient != nullptr) {
        const VectorPiece& piece = *range.gradient;
        return piece.values.template as<T>().data() + (range.begin - piece.offset);
      }
      return view(vector).template as<T>().data() + range.begin;
    };
    list_sources(stage, scales.rate, scales.weight, data_of, sources);
    kernels::combine(out.subspan(range.begin, range.end - range.begin),
                     std::span<const kernels::Source<T>>(sources));
  });
}

/// A fragment's as the whole vector's: a bound.
void Combiner::count_passes(const Combinations& combinations) {
  std::size_t bytes = 0;
  for (const VectorView& view : vectors_[kModel]) bytes += view.bytes();
  for (std::size_t i = 0; i < combinations.size(); ++i) {
    const Combinations before = combinations.first(i);
    const Combine& stage = combinations[i];
    std::size_t least = before.changes(stage.vector) ? 0 : 1;
    for (auto term = stage.terms.begin(); term != stage.terms.end(); ++term) {
      const bool is_first =
          std::ranges::find(stage.terms.begin(), term, term->vector, &Term::vector) == term &&
          !before.reads(term->vector);
      if (is_first && !before.changes(term->vector)) ++least;
    }
    bytes_touched_ += (1 + stage.terms.size()) * bytes;
    bytes_touched_least_ += least * bytes;
  }
}

}  // namespace gossip::algorithm
