// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include <libgossip/base/suggest.h>

namespace gossip {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string unknown_name(std::string_view kind, std::string_view name,
                         std::span<const std::string> known) {
  const std::size_t limit = std::max<std::size_t>(2, name.size() / 3);
  std::vector<std::string> near;
  for (const std::string& candidate : known) {
    if (edit_distance(name, candidate) <= limit) near.push_back(candidate);
  }
  std::string message = fmt::format("There is no {} '{}'.", kind, name);
  if (!near.empty()) message += fmt::format(" Did you mean '{}'?", fmt::join(near, "' or '"));
  return message + fmt::format(" Known: {}.", fmt::join(known, ", "));
}

}  // namespace gossip
