// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How bytes shall move.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace gossip::transport {

enum class TransportKind {
  kAuto,     ///< shared memory inside a host; between hosts what works and is faster
  kShared,   ///< shared memory only: all ranks on one host
  kRma,      ///< MPI's one-sided puts between hosts
  kMessage,  ///< MPI's messages between hosts
};

/// Settings of a process group. All ranks use the same.
struct TransportOptions {
  TransportKind kind = TransportKind::kAuto;

  /// Of one put or message between hosts, 1 to 2^30.
  std::size_t piece_bytes = std::size_t{1} << 19U;

  /// How many ranks of a host share memory at most, 0: all. With 1 all ranks reach each other as if
  /// they were on hosts of their own: to try that on one machine.
  int ranks_per_memory = 0;

  /// Whether the ranks compare, too, before each mean of a step, that they are in the same one:
  /// then no mean runs beside the computation. Always in a build with GOSSIP_CHECK_COLLECTIVE.
  bool checks_means = false;
};

/// "auto", "shared", "rma", "message".
[[nodiscard]] std::span<const std::string_view> transport_names();
[[nodiscard]] std::string_view name_of(TransportKind kind);

/// The kind called `name`; throws gossip::Error, with the nearest names, for others.
[[nodiscard]] TransportKind transport_kind(std::string_view name);

/// All settings in one line, to compare between ranks.
[[nodiscard]] std::string describe(const TransportOptions& options);

/// The options that the environment variables GOSSIP_TRANSPORT, GOSSIP_PIECE_BYTES,
/// GOSSIP_RANKS_PER_MEMORY and GOSSIP_CHECK_COLLECTIVE (1 or 0) set. Throws gossip::Error for
/// values that make no sense.
[[nodiscard]] TransportOptions transport_options_from_environment();

}  // namespace gossip::transport
