// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/base/suggest.h>
#include <libgossip/transport/transport_options.h>

namespace gossip::transport {
namespace {

constexpr std::array<std::string_view, 4> kNames{"auto", "shared", "rma", "message"};

constexpr std::size_t kMostPieceBytes = std::size_t{1} << 30U;  // the counts of MPI 3 are ints
constexpr int kMostRanksPerMemory = 1 << 20;

/// A whole number between these, or `otherwise` when the variable is not set.
template <class T>
T number_from(const char* variable, T least, T most, T otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return otherwise;
  return number_within<T>(fmt::format("The environment variable {}", variable), text, least, most);
}

TransportKind kind_from(const char* variable) {
  const char* name = std::getenv(variable);
  if (name == nullptr || *name == '\0') return TransportKind::kAuto;
  try {
    return transport_kind(name);
  } catch (const Error& error) {
    throw Error(fmt::format("The environment variable {}: {}", variable, error.what()));
  }
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

std::string describe(const TransportOptions& options) {
  return fmt::format("transport {}, pieces of {} bytes, {} ranks a memory{}", name_of(options.kind),
                     options.piece_bytes, options.ranks_per_memory,
                     options.checks_means ? ", checked means" : "");
}

TransportOptions transport_options_from_environment() {
  return {.kind = kind_from("GOSSIP_TRANSPORT"),
          .piece_bytes = number_from<std::size_t>("GOSSIP_PIECE_BYTES", 1, kMostPieceBytes,
                                                  TransportOptions().piece_bytes),
          .ranks_per_memory = number_from("GOSSIP_RANKS_PER_MEMORY", 0, kMostRanksPerMemory, 0),
          .checks_means = number_from("GOSSIP_CHECK_COLLECTIVE", 0, 1, 0) == 1};
}

}  // namespace gossip::transport
