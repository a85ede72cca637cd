// SPDX-License-Identifier: Apache-2.0
// Uses something of each library that comes with gossip::gossip.
#include <cstdio>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <mpi.h>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/gossip.h>

int main() {
  const std::vector<std::string> known = {"ring"};
  const std::string sentence = gossip::unknown_name("topology", "rnig", known);
  const at::Tensor tensor;
  int version = 0;
  int subversion = 0;
  MPI_Get_version(&version, &subversion);

  try {
    GOSSIP_CHECK(sentence.empty(), "{}", sentence);
  } catch (const gossip::Error& error) {
    std::printf("gossip %s, MPI %d.%d, tensor %d: %s\n", gossip::kVersion, version, subversion,
                tensor.defined() ? 1 : 0, error.what());
    return 0;
  }
  return 1;
}
