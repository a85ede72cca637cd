// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Data sets in the text format of LIBSVM.

#include <filesystem>
#include <istream>
#include <string>

#include "convex_lab/samples.h"

namespace gossip::examples {

/// Reads lines "LABEL INDEX:VALUE INDEX:VALUE ...": indices from 1 on, ascending; of the two labels
/// in the file the smaller one becomes -1. Empty lines and what follows a '#' do not count. Throws
/// gossip::Error naming file and line and what was expected there, also for a file without samples
/// or with other than two labels, and for one that cannot be read to its end.
[[nodiscard]] Samples read_libsvm(const std::filesystem::path& path);

/// The same from a stream. `name` stands for the file in messages.
[[nodiscard]] Samples read_libsvm(std::istream& stream, const std::string& name);

}  // namespace gossip::examples
