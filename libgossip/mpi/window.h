// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Memory that other processes put into.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <mpi.h>

#include <libgossip/base/alone.h>
#include <libgossip/base/types.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/operations.h>
#include <libgossip/mpi/shared_window.h>

namespace gossip::mpi {

/// Whether disjoint groups may have windows at the same time where several ranks of each share a
/// host. Not with Open MPI before 5, which names their memory there by the number of the
/// communicator, and that of another group may have the same one: its ranks would get each other's.
[[nodiscard]] bool do_windows_tell_groups_apart() noexcept;

/// Memory of MPI's own (MPI_Win_allocate) in a passive epoch that lasts as long as the window: any
/// process may put into any other's part at any time. Only puts and flushes: over TCP they are what
/// works at the speed of the wire.
///
/// Collective: construction and destruction, which block. Everything else is local.
/// Threads: one at a time. Errors, on all processes: MpiError where the library has no component
/// that can put between these processes (Open MPI 4.1 over TCP), JointError when a host has too
/// little shared memory, from which the ranks of a host get such windows.
class Window {
 public:
  /// This process contributes `bytes`, at a 64-byte boundary, zero at first. They may differ.
  Window(const Communicator& communicator, std::size_t bytes);
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window();

  [[nodiscard]] std::span<std::byte> own() const noexcept { return own_; }

  /// Starts to copy `bytes` to `offset` in the part of `to`. When the operation has finished, the
  /// source may change; the data is there after flush() only. Checks the range: MPI would crash.
  void put(std::span<const std::byte> bytes, Rank to, std::size_t offset, Operations& operations,
           std::uint64_t number) const;

  /// Blocks until all finished puts to `to` are in its memory. (With MPICH those to other ranks
  /// too.)
  void flush(Rank to) const;

  /// Makes what others have put visible to loads. Does not block.
  void sync() const;

  /// The name that MPI gives the window's component, such as "rdma window 3"; may be empty.
  [[nodiscard]] std::string component() const;

 private:
  struct Part {
    std::size_t start;  // behind the base
    std::size_t bytes;
  };

  void allocate(const Communicator& communicator, std::size_t padded);

  gossip::detail::UniqueHandle<detail::WindowTraits> handle_;
  gossip::detail::Lifetime lifetime_;
  std::span<std::byte> own_;
  std::vector<Part> parts_;  // by rank
};

}  // namespace gossip::mpi
