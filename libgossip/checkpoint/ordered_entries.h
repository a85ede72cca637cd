// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// JSON whose objects may have tens of thousands of entries. For sources only: not installed.

#include <functional>
#include <iterator>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

namespace gossip::checkpoint {

/// The entries of a JSON object in their order. Unlike nlohmann::ordered_map it does not look
/// through all of them for each one that is added: a name that comes twice stands here twice, and
/// find() gives the first.
template <class Key, class T, class Less = std::less<>,
          class Allocator = std::allocator<std::pair<const Key, T>>>
struct OrderedEntries : nlohmann::ordered_map<Key, T, Less, Allocator> {
  using Base = nlohmann::ordered_map<Key, T, Less, Allocator>;
  using Base::Base;

  template <class Name, class Entry>
  std::pair<typename Base::iterator, bool> emplace(Name&& name, Entry&& entry) {
    this->emplace_back(std::forward<Name>(name), std::forward<Entry>(entry));
    return {std::prev(this->end()), true};
  }
  template <class Name>
  T& operator[](Name&& name) {
    return emplace(std::forward<Name>(name), T{}).first->second;
  }
};

using Json = nlohmann::basic_json<OrderedEntries>;

}  // namespace gossip::checkpoint
