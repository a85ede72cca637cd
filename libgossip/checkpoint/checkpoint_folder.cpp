// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <string_view>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/checkpoint/checkpoint_folder.h>
#include <libgossip/checkpoint/checkpoint_set.h>

namespace gossip::checkpoint {
namespace {

/// The step in the name of a set's folder; -1 for other names.
std::int64_t step_of(const std::string& name) {
  constexpr std::string_view kPrefix = "step-";
  if (!name.starts_with(kPrefix)) return -1;
  std::int64_t step = -1;
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), last, step);
  return error == std::errc() && end == last && step >= 0 && name == set_name(step) ? step : -1;
}

bool is_complete(const std::filesystem::path& set, std::error_code& error) {
  return is_there(manifest_file(set), error);
}

/// Whether the file of that name is one of a set, whole or half written.
bool is_of_set(std::string_view name) {
  constexpr std::string_view kHalf = ".tmp";
  constexpr std::string_view kPrefix = "rank-";
  if (name.ends_with(kHalf)) name.remove_suffix(kHalf.size());
  if (name == manifest_file({})) return true;
  if (!name.starts_with(kPrefix)) return false;
  Rank rank = -1;
  std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), rank);
  return rank >= 0 && (name == record_file({}, rank) || name == tensor_file({}, rank));
}

/// All sets, complete or not, in ascending order; after an error those that were seen before it.
std::vector<std::int64_t> all_sets(const std::filesystem::path& folder, std::error_code& error) {
  std::vector<std::int64_t> steps;
  for (const std::filesystem::path& path : paths_in(folder, error)) {
    if (const std::int64_t step = step_of(path.filename().string()); step >= 0) {
      steps.push_back(step);
    }
  }
  std::ranges::sort(steps);
  return steps;
}

void say_that_it_stays(const std::filesystem::path& set, const std::string& why) {
  log(LogLevel::kWarning, 0, "cannot remove the old checkpoint '{}': {}", set.string(), why);
}

/// The manifest goes first: what is left behind by a kill in between is no set. While it stays, so
/// does the rest. Of a link only the link goes. Files that are not of a set stay, and so does their
/// folder.
void remove_set(const std::filesystem::path& set) {
  std::error_code error;
  try {
    if (remove_link(set) || !std::filesystem::is_directory(set, error)) return;
  } catch (const Error& link) {
    say_that_it_stays(set, link.what());
    return;
  }
  std::filesystem::remove(manifest_file(set), error);
  if (error) {
    say_that_it_stays(set, fmt::format("manifest.json stays ({})", error.message()));
    return;
  }
  sync_folder(set);
  for (const std::filesystem::path& file : paths_in(set, error)) {
    if (is_of_set(file.filename().native())) std::filesystem::remove(file, error);
  }
  std::filesystem::remove(set, error);
  if (error) say_that_it_stays(set, error.message());
}

std::string new_run_name() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

std::string this_process() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return fmt::format("process {} on {}", ::getpid(), host.data());
}

}  // namespace

std::vector<std::int64_t> complete_sets(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::int64_t> steps = all_sets(folder, error);
  GOSSIP_CHECK(!error || error == std::errc::no_such_file_or_directory,
               "Cannot see which checkpoints the folder '{}' holds: {}", folder.string(),
               error.message());
  std::erase_if(steps, [&](std::int64_t step) {
    const std::filesystem::path set = folder / set_name(step);
    const bool is_kept = is_complete(set, error);
    GOSSIP_CHECK(!error, "Cannot see whether the checkpoint '{}' is complete: {}", set.string(),
                 error.message());
    return !is_kept;
  });
  return steps;
}

void check_is_shared(const std::filesystem::path& folder, const std::string& run,
                     std::chrono::milliseconds patience) {
  const auto has_taken_it = [&] {
    std::error_code error;
    const std::filesystem::path lock = folder / "lock";
    return std::filesystem::exists(lock, error) && read_text(lock).ends_with(run);
  };
  GOSSIP_CHECK(wait_until(Deadline(patience), has_taken_it),
               "The folder '{}' of the checkpoints, as {} sees it, is not the one that rank 0 has "
               "taken: it must be one that all ranks share.",
               folder.string(), this_process());
}

CheckpointFolder::CheckpointFolder(std::filesystem::path folder)
    : folder_((make_output_folder(folder), std::move(folder))), run_(new_run_name()) {
  const std::filesystem::path path = folder_ / "lock";
  remove_link(path);
  std::error_code error;
  const bool is_copied = std::filesystem::is_regular_file(path, error) &&
                         std::filesystem::hard_link_count(path, error) > 1 && !error;
  GOSSIP_CHECK(!is_copied || ::unlink(path.c_str()) == 0,
               "Cannot remove the file '{}', which is a file of another folder, too: {}",
               path.string(), std::strerror(errno));
  lock_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  GOSSIP_CHECK(lock_, "Cannot write the file '{}': {}", path.string(), std::strerror(errno));
  const bool is_free = ::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
  GOSSIP_CHECK(is_free,
               "The folder '{}' belongs to a run that still goes on ({}): wait for its end, or "
               "take another folder for the checkpoints of this one.",
               folder_.string(), read_text(path));
  const std::string text = fmt::format("{}, run {}", this_process(), run_);
  const bool is_written =
      ::ftruncate(lock_.get(), 0) == 0 &&
      ::pwrite(lock_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
      ::fsync(lock_.get()) == 0;
  GOSSIP_CHECK(is_written, "Cannot write to the file '{}': {}", path.string(),
               std::strerror(errno));
}

void CheckpointFolder::check() const {
  const std::string owner = read_text(folder_ / "lock");
  GOSSIP_CHECK(owner.ends_with(run_),
               "The folder '{}' was taken by another run ({}): this one saves no more there. Give "
               "each run a folder of its own.",
               folder_.string(), owner);
}

void CheckpointFolder::remove_incomplete(std::int64_t before) const {
  std::error_code error;
  for (const std::int64_t step : all_sets(folder_, error)) {
    const std::filesystem::path set = folder_ / set_name(step);
    const bool stays = (before != kAll && step >= before) || is_complete(set, error) || error;
    if (!stays) remove_set(set);
  }
}

void CheckpointFolder::keep_newest(std::size_t count) const {
  std::error_code ignored;
  std::vector<std::int64_t> steps = all_sets(folder_, ignored);
  std::erase_if(steps,
                [&](std::int64_t step) { return !is_complete(folder_ / set_name(step), ignored); });
  for (std::size_t i = 0; i + count < steps.size(); ++i) remove_set(folder_ / set_name(steps[i]));
}

}  // namespace gossip::checkpoint
