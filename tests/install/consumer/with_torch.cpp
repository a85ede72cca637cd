// SPDX-License-Identifier: Apache-2.0
// Uses fmt beside the library, whichever fmt comes first: LibTorch's include folder has one, too.
#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>

int main() {
  const std::vector<std::string> known = {"ring"};
  const std::string sentence = gossip::unknown_name("topology", "rnig", known);
  const at::Tensor tensor;
  try {
    GOSSIP_CHECK(tensor.defined(), "{} {:.2f}", sentence, 0.5);
  } catch (const gossip::Error& error) {
    fmt::print("fmt {}: {}\n", FMT_VERSION, error.what());
    return 0;
  }
  return 1;
}
