// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <algorithm>
#include <vector>

#include <mpi.h>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>

namespace gossip::bench {

double link_bytes_per_second(std::string_view link) {
  if (link == "none") return 0.0;
  constexpr double kPayloadOfFrame = 1448.0 / 1514.0;
  constexpr double kBits = 8.0;
  constexpr std::size_t kUnit = 4;
  constexpr double kMost = 1e6;
  const std::size_t digits = link.size() - std::min(kUnit, link.size());
  const std::string_view unit = link.substr(digits);
  const double scale = unit == "gbit" ? 1e9 : unit == "mbit" ? 1e6 : unit == "kbit" ? 1e3 : 0.0;
  const auto number = parse_number<double>(link.substr(0, digits));
  GOSSIP_CHECK(number && *number > 0 && *number <= kMost && scale > 0,
               "'{}' is no rate of a link: none, or like 1gbit, 200mbit, with a number up to {}.",
               link, kMost);
  return *number * scale / kBits * kPayloadOfFrame;
}

std::string mpi_library() {
  std::vector<char> text(MPI_MAX_LIBRARY_VERSION_STRING + 1, '\0');
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  std::string version(text.data());
  if (version.starts_with("MPICH")) {  // "MPICH Version:      5.0.2\n..."
    const std::size_t number = version.find_first_of("0123456789");
    return "MPICH " + version.substr(number, version.find_first_of(" \n\t", number) - number);
  }
  version = version.substr(0, version.find(','));  // "Open MPI v5.0.11, package: ..."
  if (const std::size_t v = version.find(" v"); v != std::string::npos) version.erase(v + 1, 1);
  return version;
}

}  // namespace gossip::bench
