// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <charconv>
#include <vector>

#include <mpi.h>

#include <libgossip/base/error.h>

namespace gossip::bench {

double link_bytes_per_second(std::string_view link) {
  if (link == "none") return 0.0;
  constexpr double kPayloadOfFrame = 1448.0 / 1514.0;
  constexpr double kBits = 8.0;
  double number = 0.0;
  const auto [end, error] = std::from_chars(link.data(), link.data() + link.size(), number);
  const std::string_view unit = link.substr(static_cast<std::size_t>(end - link.data()));
  const double scale = unit == "gbit" ? 1e9 : unit == "mbit" ? 1e6 : unit == "kbit" ? 1e3 : 0.0;
  GOSSIP_CHECK(error == std::errc() && number > 0 && scale > 0,
               "'{}' is no rate of a link: none, or like 1gbit, 200mbit.", link);
  return number * scale / kBits * kPayloadOfFrame;
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
