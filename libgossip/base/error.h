// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What the library throws, and the two checks: GOSSIP_CHECK for arguments, GOSSIP_ASSERT for
/// broken invariants.

#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <libgossip/base/types.h>

namespace gossip {

/// Root of all that the library throws. LibTorch's own c10::Error passes through untouched.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// All ranks of a group found the same fault together, and all of them throw this: run_main() lets
/// one rank speak.
class JointError : public Error {
 public:
  using Error::Error;
};

/// A call of MPI failed. The state of the object that made the call is unknown: make a new one.
class MpiError : public Error {
 public:
  MpiError(int code, const std::string& message) : Error(message), code_(code) {}

  /// The error code that MPI returned.
  [[nodiscard]] int code() const noexcept { return code_; }

 private:
  int code_;
};

/// A peer did not answer before the deadline. The message names the peer, the time waited and the
/// round.
class TimeoutError : public Error {
 public:
  TimeoutError(Rank peer, const std::string& message) : Error(message), peer_(peer) {}

  /// The rank that was waited for; -1 where it is not one rank (a collective call).
  [[nodiscard]] Rank peer() const noexcept { return peer_; }

 private:
  Rank peer_;
};

namespace detail {

/// Prints the message with the place of the call and terminates the process.
[[noreturn]] void assert_failed(const char* condition, const std::string& message,
                                std::source_location where = std::source_location::current());

}  // namespace detail
}  // namespace gossip

/// Throws gossip::Error with the formatted message unless `condition` holds. For arguments and user
/// input: the message is a whole sentence that names the value and says what would be right.
#define GOSSIP_CHECK(condition, ...)                     \
  do {                                                   \
    if (!(condition)) [[unlikely]]                       \
      throw ::gossip::Error(::fmt::format(__VA_ARGS__)); \
  } while (false)

/// Terminates with the formatted message unless `condition` holds. For invariants of the library
/// itself.
#define GOSSIP_ASSERT(condition, ...)                                          \
  do {                                                                         \
    if (!(condition)) [[unlikely]]                                             \
      ::gossip::detail::assert_failed(#condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
