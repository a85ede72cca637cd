// SPDX-License-Identifier: Apache-2.0
#include <libgossip/base/version.h>
#include <libgossip/train/build_commit.h>
#include <libgossip/train/build_info.h>

namespace gossip::train {

BuildInfo build_info() {
  return {.version = kVersion,
          .commit = detail::kCommit,
          .compiler = GOSSIP_COMPILER,
          .libtorch = GOSSIP_LIBTORCH};
}

}  // namespace gossip::train
