// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The one owner of raw handles of other libraries.

#include <utility>

#include <libgossip/base/alone.h>

namespace gossip::detail {

/// Owns one raw handle. `Traits` has the type `Raw`, a `static Raw null()` (a function, because
/// Open MPI's null handles are not constant expressions) and a `static void free(Raw) noexcept`.
/// Move-only; a moved-from object owns nothing.
///
/// With `Traits::kFreeIsCollective` the handle is leaked rather than freed where it ends alone
/// (Lifetime): the other ranks do not come to the collective call, and it would hang.
template <class Traits>
class UniqueHandle {
 public:
  using Raw = typename Traits::Raw;

  UniqueHandle() noexcept : raw_(Traits::null()) {}
  explicit UniqueHandle(Raw raw) noexcept : raw_(raw) {}
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;
  UniqueHandle(UniqueHandle&& other) noexcept : raw_(other.release()), lifetime_(other.lifetime_) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) {
      const Lifetime lifetime = other.lifetime_;
      reset(other.release());
      lifetime_ = lifetime;
    }
    return *this;
  }
  ~UniqueHandle() { reset(); }

  [[nodiscard]] Raw get() const noexcept { return raw_; }
  [[nodiscard]] explicit operator bool() const noexcept { return raw_ != Traits::null(); }

  /// Gives the handle up without freeing it.
  [[nodiscard]] Raw release() noexcept { return std::exchange(raw_, Traits::null()); }

  /// Frees what is held and holds `raw` from now on.
  void reset(Raw raw = Traits::null()) noexcept {
    const Raw old = std::exchange(raw_, raw);
    const bool is_alone = lifetime_.ends_alone();
    lifetime_ = Lifetime();
    if (old != Traits::null() && !(Traits::kFreeIsCollective && is_alone)) Traits::free(old);
  }

 private:
  Raw raw_;
  Lifetime lifetime_;
};

}  // namespace gossip::detail
