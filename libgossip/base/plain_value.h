// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Values that ranks send each other as the bytes they are.

#include <concepts>
#include <ranges>
#include <type_traits>

namespace gossip {

/// Numbers, and structs of them: all ranks run the same program, so their bytes mean the same
/// everywhere. Pointers and views are none, as what they show lies elsewhere; nor is bool, as a
/// std::vector of it has no memory.
template <class T>
concept PlainValue =
    std::is_trivially_copyable_v<T> && std::default_initializable<T> && !std::is_pointer_v<T> &&
    !std::is_array_v<T> && !std::same_as<T, bool> && !std::ranges::view<T>;

}  // namespace gossip
