// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A disk on which folders cannot be read to their end. For one source of a program.

#include <atomic>
#include <cerrno>
#include <dirent.h>
#include <dlfcn.h>

namespace gossip::test {

/// After so many names the next readdir() of this process fails; negative: none does.
inline std::atomic<int> names_until_failure{-1};

}  // namespace gossip::test

/// In place of the system's.
extern "C" dirent* readdir(DIR* folder) {
  static const auto system = reinterpret_cast<dirent* (*)(DIR*)>(::dlsym(RTLD_NEXT, "readdir"));
  std::atomic<int>& names = gossip::test::names_until_failure;
  if (names == 0) {
    errno = EIO;
    return nullptr;
  }
  if (names > 0) --names;
  return system(folder);
}
