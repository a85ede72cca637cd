// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Files of a run: a folder that can be written, a log that keeps its lines, a file that is there
/// whole or not at all.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <libgossip/base/unique_handle.h>

namespace gossip {

namespace detail {

struct FileTraits {
  using Raw = int;
  static constexpr bool kFreeIsCollective = false;
  static Raw null() noexcept { return -1; }
  static void free(Raw raw) noexcept;
};

}  // namespace detail

/// Makes `folder` and its parents unless they exist. Throws gossip::Error, naming the folder and
/// the reason, when it cannot be made or cannot be written.
void make_output_folder(const std::filesystem::path& folder);

/// Removes `path` if it is a symbolic link, whatever it leads to, which stays. True when it did.
/// Throws gossip::Error, naming the link and the reason, when the link stays: it must not be
/// followed then. Local; safe while other ranks do the same and then make a folder there.
bool remove_link(const std::filesystem::path& path);

/// Whether something stands at `path`, links followed; a link that leads round in circles leads to
/// nothing. False where that cannot be seen, with the reason in `error`. Local.
[[nodiscard]] bool is_there(const std::filesystem::path& path, std::error_code& error);

/// All that lies in `folder`; after an error what was seen before it. Local.
[[nodiscard]] std::vector<std::filesystem::path> paths_in(const std::filesystem::path& folder,
                                                          std::error_code& error);

/// The whole of a file. Throws gossip::Error naming the file and the reason.
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

/// Reads the whole of a file, whose size is that of `memory`. Throws gossip::Error naming the file
/// and the reason, also when the file is shorter or longer.
void read_bytes(const std::filesystem::path& path, std::span<std::byte> memory);

/// Writes `contents` under a temporary name beside `path`, brings it to the disk and renames it to
/// `path`: whoever sees `path` sees the whole of it, also after a crash. Links in the place of
/// either name go, and what they lead to stays. Throws gossip::Error naming the file and the
/// reason; then `path` is as it was, and the temporary file is gone.
void replace_file(const std::filesystem::path& path, std::string_view contents);

/// The same for a file that lies in several parts.
void replace_file(const std::filesystem::path& path, std::span<const std::string_view> parts);

/// Brings the names in `folder` to the disk, where the file system can.
void sync_folder(const std::filesystem::path& folder);

/// A text file that grows by whole lines. Each line is handed to the operating system at once, so a
/// killed process loses none. Move-only.
class LineFile {
 public:
  enum class Start {
    kAnew,   ///< what the file held before is gone
    kAfter,  ///< behind what it holds; half a line that a killed process left gets its end
  };

  /// Throws gossip::Error naming the file and the reason.
  explicit LineFile(std::filesystem::path path, Start start = Start::kAnew);

  /// Appends `line`, which ends with its newline. Throws gossip::Error naming the file and the
  /// reason; what the file has of the line then, the next one is not joined to.
  void append(std::string_view line);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  detail::UniqueHandle<detail::FileTraits> file_;
  bool has_half_a_line_ = false;  // of one that failed
};

}  // namespace gossip
