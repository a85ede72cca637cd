// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <filesystem>
#include <string>
#include <unistd.h>

#include "support/temporary_folder.h"

namespace gossip::test {

/// What this process says on standard error, in a file.
class Said {
 public:
  Said() : screen_(::dup(STDERR_FILENO)) {
    const int file = ::open(path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ::dup2(file, STDERR_FILENO);
    ::close(file);
  }
  Said(const Said&) = delete;
  Said& operator=(const Said&) = delete;
  ~Said() {
    ::dup2(screen_, STDERR_FILENO);
    ::close(screen_);
  }

  [[nodiscard]] std::string text() const { return read_file(path()); }

 private:
  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "said"; }

  TemporaryFolder folder_;
  int screen_;
};

}  // namespace gossip::test
