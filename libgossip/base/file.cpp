// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>

#include <libgossip/base/error.h>
#include <libgossip/base/file.h>

namespace gossip {
namespace {

using FileHandle = detail::UniqueHandle<detail::FileTraits>;

FileHandle open_to_write(const std::filesystem::path& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  GOSSIP_CHECK(file >= 0, "Cannot write the file '{}': {}", path.string(), std::strerror(errno));
  return FileHandle(file);
}

FileHandle open_anew(const std::filesystem::path& path) {
  return open_to_write(path, O_WRONLY | O_TRUNC);
}

/// What had the name goes: it may be a link, or another name of a file that is to stay.
FileHandle open_in_place_of(const std::filesystem::path& path) {
  GOSSIP_CHECK(::unlink(path.c_str()) == 0 || errno == ENOENT, "Cannot write the file '{}': {}",
               path.string(), std::strerror(errno));
  return open_to_write(path, O_WRONLY | O_EXCL);
}

FileHandle open_to_read(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  GOSSIP_CHECK(file >= 0, "Cannot read the file '{}': {}", path.string(), std::strerror(errno));
  return FileHandle(file);
}

/// Fills `memory` as far as the file goes; returns how far that is.
std::size_t read_some(int file, std::span<std::byte> memory, const std::filesystem::path& path) {
  std::size_t done = 0;
  while (done < memory.size()) {
    const ssize_t count = ::read(file, memory.data() + done, memory.size() - done);
    if (count < 0 && errno == EINTR) continue;
    GOSSIP_CHECK(count >= 0, "Cannot read the file '{}': {}", path.string(), std::strerror(errno));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

/// Leaves in `text` what was not written when it throws.
void write_all(int file, std::string_view& text, const std::filesystem::path& path) {
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

bool remove_link(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return false;
  if (::unlink(path.c_str()) == 0)
    return true;  // it takes no folder, should one stand there by now
  const int why = errno;
  GOSSIP_CHECK(!std::filesystem::is_symlink(path, error), "Cannot remove the link '{}': {}",
               path.string(), std::strerror(why));
  return false;
}

bool is_there(const std::filesystem::path& path, std::error_code& error) {
  const bool result = std::filesystem::exists(path, error);
  if (error == std::errc::too_many_symbolic_link_levels) error.clear();
  return result;
}

/// The iterator of a range-for would throw what goes wrong on the way.
std::vector<std::filesystem::path> paths_in(const std::filesystem::path& folder,
                                            std::error_code& error) {
  std::vector<std::filesystem::path> paths;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    paths.push_back(entry->path());
  }
  return paths;
}

std::string read_text(const std::filesystem::path& path) {
  const FileHandle file = open_to_read(path);
  std::string text;
  for (std::size_t count = 1; count > 0;) {
    constexpr std::size_t kPiece = 65536;
    const std::size_t before = text.size();
    text.resize(before + kPiece);
    count = read_some(file.get(), std::as_writable_bytes(std::span(text)).subspan(before), path);
    text.resize(before + count);
  }
  return text;
}

void read_bytes(const std::filesystem::path& path, std::span<std::byte> memory) {
  const FileHandle file = open_to_read(path);
  const std::size_t count = read_some(file.get(), memory, path);
  std::byte more{};
  GOSSIP_CHECK(count == memory.size() && read_some(file.get(), {&more, 1}, path) == 0,
               "The file '{}' is not of {} bytes, as it should be: it was cut off or written to.",
               path.string(), memory.size());
}

void replace_file(const std::filesystem::path& path, std::string_view contents) {
  replace_file(path, std::span(&contents, 1));
}

void replace_file(const std::filesystem::path& path, std::span<const std::string_view> parts) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  try {
    const FileHandle file = open_in_place_of(temporary);
    for (std::string_view part : parts) write_all(file.get(), part, temporary);
    sync(file.get(), temporary);
    GOSSIP_CHECK(std::rename(temporary.c_str(), path.c_str()) == 0,
                 "Cannot rename '{}' to '{}': {}", temporary.string(), path.string(),
                 std::strerror(errno));
  } catch (...) {
    ::unlink(temporary.c_str());  // a full disk needs the room
    throw;
  }
  sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

/// A new name is on the disk only once its folder is. Some network file systems cannot sync a
/// folder; there the rename alone must do.
void sync_folder(const std::filesystem::path& folder) {
  const FileHandle directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
}

LineFile::LineFile(std::filesystem::path path, Start start)
    : path_(std::move(path)),
      file_(start == Start::kAnew ? open_anew(path_) : open_to_write(path_, O_RDWR)) {
  char last = '\n';
  const off_t size = start == Start::kAfter ? ::lseek(file_.get(), 0, SEEK_END) : 0;
  if (size > 0 && ::pread(file_.get(), &last, 1, size - 1) == 1 && last != '\n') append("\n");
}

void LineFile::append(std::string_view line) {
  std::string_view end = has_half_a_line_ ? "\n" : "";
  write_all(file_.get(), end, path_);
  const std::size_t size = line.size();
  try {
    write_all(file_.get(), line, path_);
  } catch (...) {
    has_half_a_line_ = line.size() < size;
    throw;
  }
  has_half_a_line_ = false;
}

}  // namespace gossip
