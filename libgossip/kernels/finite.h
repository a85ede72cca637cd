// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Whether a vector holds numbers.

#include <span>

namespace gossip::kernels {

/// Whether no element is NaN or infinite. Reads the vector once. T: float, double.
template <class T>
[[nodiscard]] bool is_finite(std::span<const T> x);

}  // namespace gossip::kernels
