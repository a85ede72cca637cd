// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Ends that the other ranks do not come to.

#include <exception>

namespace gossip::detail {

/// While it lives, what ends on this thread ends without the other ranks: nothing is freed that is
/// freed collectively.
class EndsAlone {
 public:
  explicit EndsAlone(bool is_so = true) : was_so_(is_so_) { is_so_ = is_so_ || is_so; }
  EndsAlone(const EndsAlone&) = delete;
  EndsAlone& operator=(const EndsAlone&) = delete;
  ~EndsAlone() { is_so_ = was_so_; }

  [[nodiscard]] static bool is_so() noexcept { return is_so_; }

 private:
  static inline thread_local bool is_so_ = false;
  bool was_so_;
};

/// A member of what is freed collectively, by which its end knows whether the other ranks come.
class Lifetime {
 public:
  /// They do not where an exception that was thrown after the construction unwinds the stack, or
  /// where EndsAlone says so.
  [[nodiscard]] bool ends_alone() const noexcept {
    return std::uncaught_exceptions() > exceptions_ || EndsAlone::is_so();
  }

 private:
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace gossip::detail
