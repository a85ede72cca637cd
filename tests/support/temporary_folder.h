// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A folder for the files of one test.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <stdlib.h>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace gossip::test {

/// Where folders are made: in GOSSIP_TEST_FOLDER, where that is a folder that can be written and
/// has room, and else in the system's for temporary files.
inline std::filesystem::path folder_of_temporaries() {
  constexpr std::uintmax_t kRoomBytes = std::uintmax_t{256} << 20U;
  const char* wanted = std::getenv("GOSSIP_TEST_FOLDER");
  std::error_code error;
  if (wanted != nullptr && std::filesystem::is_directory(wanted, error) &&
      access(wanted, W_OK | X_OK) == 0 &&
      std::filesystem::space(wanted, error).available >= kRoomBytes && !error) {
    return wanted;
  }
  return std::filesystem::temp_directory_path();
}

/// A new, empty folder that is removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (folder_of_temporaries() / "gossip-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// The whole of a file.
inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::filesystem::path& path, std::string_view contents) {
  std::ofstream file(path, std::ios::binary);
  file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace gossip::test
