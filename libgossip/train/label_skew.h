// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Parts of a data set in which the classes are not the same, for experiments with ranks whose data
/// differ.

#include <cstdint>
#include <span>
#include <vector>

namespace gossip::train {

/// Cuts a data set into `parts` of equal size (what is left over is dropped), each with a mixture
/// of classes drawn from a Dirichlet distribution: with `concentration` 0.1 most parts have one to
/// three classes, with 100 all are alike. A part takes its samples one by one, the parts in turn,
/// by its mixture as far as a class has samples left. A pure function of its arguments, the same on
/// every machine. Returns sample numbers by part. Throws gossip::Error unless `concentration` is a
/// number of at least 1e-300, `parts` is at least 1, there are as many samples, and no label is
/// negative.
///
/// Hsu, Qi, Brown 2019, arXiv 1909.06335.
[[nodiscard]] std::vector<std::vector<std::int64_t>> label_skewed_parts(
    std::span<const std::int64_t> labels, int parts, double concentration, std::uint64_t seed);

}  // namespace gossip::train
