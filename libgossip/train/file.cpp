// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>

#include <libgossip/base/error.h>
#include <libgossip/train/file.h>

namespace gossip::train {
namespace {

using FileHandle = gossip::detail::UniqueHandle<detail::FileTraits>;

FileHandle open_anew(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  GOSSIP_CHECK(file >= 0, "Cannot write the file '{}': {}", path.string(), std::strerror(errno));
  return FileHandle(file);
}

void write_all(int file, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    GOSSIP_CHECK(written >= 0, "Cannot write to the file '{}': {}", path.string(),
                 std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void sync(int file, const std::filesystem::path& path) {
  GOSSIP_CHECK(::fsync(file) == 0, "Cannot bring the file '{}' to the disk: {}", path.string(),
               std::strerror(errno));
}

}  // namespace

void detail::FileTraits::free(Raw raw) noexcept { ::close(raw); }

void make_output_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  GOSSIP_CHECK(!error, "Cannot make the output folder '{}': {}", folder.string(), error.message());
  GOSSIP_CHECK(std::filesystem::is_directory(folder, error),
               "Cannot make the output folder '{}': it is a file", folder.string());
  GOSSIP_CHECK(::access(folder.c_str(), W_OK | X_OK) == 0,
               "Cannot write to the output folder '{}': {}", folder.string(), std::strerror(errno));
}

void replace_file(const std::filesystem::path& path, std::string_view contents) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  {
    const FileHandle file = open_anew(temporary);
    write_all(file.get(), contents, temporary);
    sync(file.get(), temporary);
  }
  GOSSIP_CHECK(std::rename(temporary.c_str(), path.c_str()) == 0, "Cannot rename '{}' to '{}': {}",
               temporary.string(), path.string(), std::strerror(errno));

  // The new name itself is on the disk only once the folder is. Some network file systems cannot
  // sync a folder; there the rename alone must do.
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  const FileHandle directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
}

LineFile::LineFile(std::filesystem::path path) : path_(std::move(path)), file_(open_anew(path_)) {}

void LineFile::append(std::string_view line) { write_all(file_.get(), line, path_); }

}  // namespace gossip::train
