// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What this library was built from and with.

#include <string>

namespace gossip::train {

struct BuildInfo {
  std::string version;   ///< of libgossip, such as "0.1.0"
  std::string commit;    ///< of libgossip; "*" at its end: files differed; "unknown": no clone
  std::string compiler;  ///< such as "GNU 12.2.0"
  std::string libtorch;  ///< such as "2.11.0"; "none" when built without
};

/// Local.
[[nodiscard]] BuildInfo build_info();

}  // namespace gossip::train
