// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A disk on which some files cannot be seen. For one source of a program.

#include <atomic>
#include <cerrno>
#include <dlfcn.h>
#include <string_view>
#include <sys/stat.h>

namespace gossip::test {

/// stat() fails for paths that end so; null: for none.
inline std::atomic<const char*> unseen_file{nullptr};

}  // namespace gossip::test

/// In place of the system's.
extern "C" int stat(const char* path, struct stat* result) noexcept {
  static const auto system =
      reinterpret_cast<int (*)(const char*, struct stat*)>(::dlsym(RTLD_NEXT, "stat"));
  const char* const unseen = gossip::test::unseen_file;
  if (unseen != nullptr && std::string_view(path).ends_with(unseen)) {
    errno = EIO;
    return -1;
  }
  return system(path, result);
}
