// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The folder that the checkpoints of a run lie in.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <libgossip/base/file.h>
#include <libgossip/base/unique_handle.h>

namespace gossip::checkpoint {

/// The steps of the complete sets in `folder`, which have a manifest, in ascending order; none when
/// there is no such folder. Throws gossip::Error when it cannot be read, or whether one of them is
/// complete cannot be seen. Local.
[[nodiscard]] std::vector<std::int64_t> complete_sets(const std::filesystem::path& folder);

/// Throws gossip::Error unless `folder` is, on this rank, the one that the run of that name has
/// taken: all ranks of a run must share it. Looks for as long as `patience` says, since network
/// file systems may be late with the files of others. Local.
void check_is_shared(const std::filesystem::path& folder, const std::string& run,
                     std::chrono::milliseconds patience = std::chrono::seconds(5));

/// The right to write into a folder of checkpoints, for one rank of a run: nobody else has it at
/// the same time.
///
/// The file DIR/lock says who has it, and is locked as long as this object lives, also towards
/// other hosts where the file system can do that. Where it cannot, another run takes the right away
/// without noticing: then check() of this one throws, before anything of the other one is touched.
///
/// Of a set only its own files are removed, by their whole names. Of links, in the place of a set
/// or of a file in one, only the link is removed; one that cannot be removed stays, with what it
/// leads to. What cannot be removed, read or seen is left as it is.
///
/// Local. Threads: calls must not overlap. Errors: gossip::Error naming the file and the reason.
class CheckpointFolder {
 public:
  /// Makes the folder and takes it. Throws gossip::Error when another run has it, saying which.
  explicit CheckpointFolder(std::filesystem::path folder);

  /// A name for this run that no other one has.
  [[nodiscard]] const std::string& run() const noexcept { return run_; }

  /// Throws gossip::Error when another run has taken the folder.
  void check() const;

  /// Removes what killed runs left: sets without a manifest below `before`, or all of them.
  void remove_incomplete(std::int64_t before = kAll) const;

  /// Removes all but the newest `count` complete sets, the oldest first.
  void keep_newest(std::size_t count) const;

  static constexpr std::int64_t kAll = -1;

 private:
  std::filesystem::path folder_;
  std::string run_;
  gossip::detail::UniqueHandle<gossip::detail::FileTraits> lock_;
};

}  // namespace gossip::checkpoint
