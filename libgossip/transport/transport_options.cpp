// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <cstdlib>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/transport/transport_options.h>

namespace gossip::transport {
namespace {

constexpr std::array<std::string_view, 4> kNames{"auto", "shared", "rma", "message"};

/// A whole number of at least `least`, or `otherwise` when the variable is not set.
template <class T>
T number_from(const char* variable, T least, T otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return otherwise;
  const std::string_view digits(text);
  T value{};
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
  GOSSIP_CHECK(error == std::errc() && end == digits.end() && value >= least,
               "{} is '{}': it must be a whole number of at least {}.", variable, digits, least);
  return value;
}

}  // namespace

std::span<const std::string_view> transport_names() { return kNames; }

std::string_view name_of(TransportKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

TransportKind transport_kind(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<TransportKind>(i);
  }
  const std::vector<std::string> known(kNames.begin(), kNames.end());
  throw Error(unknown_name("transport", name, known));
}

TransportOptions transport_options_from_environment() {
  TransportOptions options;
  if (const char* name = std::getenv("GOSSIP_TRANSPORT"); name != nullptr && *name != '\0') {
    options.kind = transport_kind(name);
  }
  options.piece_bytes =
      number_from<std::size_t>("GOSSIP_PIECE_BYTES", 1, TransportOptions().piece_bytes);
  options.ranks_per_memory = number_from("GOSSIP_RANKS_PER_MEMORY", 0, 0);
  return options;
}

}  // namespace gossip::transport
