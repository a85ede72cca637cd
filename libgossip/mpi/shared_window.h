// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Memory that the ranks of one host share.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <mpi.h>

#include <libgossip/base/types.h>
#include <libgossip/base/unique_handle.h>
#include <libgossip/mpi/communicator.h>

namespace gossip::mpi {

namespace detail {

struct WindowTraits {
  using Raw = MPI_Win;
  static constexpr bool kFreeIsCollective = true;
  static Raw null() noexcept { return MPI_WIN_NULL; }
  static void free(Raw raw) noexcept;
};

}  // namespace detail

/// Memory that every rank of one host contributes and every one can load from and store to
/// directly. Each part starts on a 64-byte boundary; its contents are unspecified at first.
/// Synchronize with C++ atomics only, never with MPI's. Move-only.
///
/// Collective: construction and destruction, over `host`; both block.
/// Errors: JointError when the host has too little shared memory (on all ranks, both numbers and
/// the cure in the message; the ranks compare before they allocate, since MPI would hang), or when
/// the ranks are not on one host; gossip::MpiError.
class SharedWindow {
 public:
  /// This rank contributes `bytes` (ranks may differ; 0 is allowed).
  SharedWindow(const Communicator& host, std::size_t bytes);

  /// The part that `rank` contributed, as this process sees it.
  [[nodiscard]] std::span<std::byte> of(Rank rank) const {
    return parts_[static_cast<std::size_t>(rank)];
  }

 private:
  gossip::detail::UniqueHandle<detail::WindowTraits> handle_;
  std::vector<std::span<std::byte>> parts_;
};

/// The sentence for a host whose shared memory is too small; empty when `bytes_needed`, and what
/// MPI wants to stay free beside them (5 percent and 64 KiB), fit into `bytes_free`.
[[nodiscard]] std::string shortage_of_shared_memory(std::size_t bytes_needed,
                                                    std::size_t bytes_free,
                                                    const std::string& folder);

/// The same sentence when all ranks of a host are about to ask MPI for memory that they share, this
/// one for `own_bytes`; the same on all of them. Collective over `host`.
[[nodiscard]] std::string shortage_of_shared_memory(const Communicator& host,
                                                    std::size_t own_bytes);

}  // namespace gossip::mpi
