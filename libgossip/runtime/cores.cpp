// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <climits>
#include <fstream>
#include <iterator>
#include <optional>
#include <sched.h>
#include <sstream>
#include <sys/stat.h>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/runtime/cores.h>

namespace gossip::runtime {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

/// The cores that `quota` microseconds in each `period` stand for; nothing for no limit: "max" in
/// version 2, -1 in version 1.
std::optional<double> cores_of(std::string_view quota, std::string_view period) {
  const auto time = parse_number<std::int64_t>(quota);
  const auto of = parse_number<std::int64_t>(period);
  if (!time || !of || *time <= 0 || *of <= 0) return std::nullopt;
  return static_cast<double>(*time) / static_cast<double>(*of);
}

/// The limit that the files of one folder set.
std::optional<double> limit_in(const fs::path& folder) {
  if (const auto line = first_line(folder / "cpu.max")) {
    const std::size_t space = std::min(line->find(' '), line->size());
    return cores_of(line->substr(0, space),
                    std::string_view(*line).substr(std::min(space + 1, line->size())));
  }
  const auto quota = first_line(folder / "cpu.cfs_quota_us");
  const auto period = first_line(folder / "cpu.cfs_period_us");
  return quota && period ? cores_of(*quota, *period) : std::nullopt;
}

void add_limit(const fs::path& folder, std::vector<CpuQuota>& quotas) {
  const auto cores = limit_in(folder);
  struct stat status {};
  if (!cores || stat(folder.c_str(), &status) != 0) return;
  std::string group = fmt::format("{}:{}", status.st_dev, status.st_ino);
  if (std::ranges::find(quotas, group, &CpuQuota::group) != quotas.end()) return;
  quotas.push_back({std::move(group), *cores});
}

/// Where the hierarchy of a line of /proc/self/cgroup may be mounted.
std::vector<fs::path> mounts_of(std::string_view controllers, const fs::path& root) {
  if (controllers.empty()) return {root, root / "unified"};  // version 2
  const std::string list = fmt::format(",{},", controllers);
  if (list.find(",cpu,") == std::string::npos) return {};
  return {root / controllers, root / "cpu"};
}

}  // namespace

std::string usable_cores(const GetAffinity& get) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 20U;
  for (std::size_t bytes = sizeof(cpu_set_t); bytes <= kMostBytes; bytes *= 2) {
    std::vector<unsigned long> mask(bytes / sizeof(unsigned long), 0);
    if (get(bytes, mask.data()) != 0) {
      if (errno == EINVAL) continue;  // the host has more cores than that
      break;
    }
    constexpr std::size_t kBits = sizeof(unsigned long) * CHAR_BIT;
    std::string cores(bytes * CHAR_BIT, '0');
    for (std::size_t core = 0; core < cores.size(); ++core) {
      if ((mask[core / kBits] >> (core % kBits) & 1U) != 0) cores[core] = '1';
    }
    return cores.substr(0, cores.find_last_of('1') + 1);
  }
  return {};
}

std::string usable_cores() {
  return usable_cores([](std::size_t bytes, void* mask) {
    return sched_getaffinity(0, bytes, static_cast<cpu_set_t*>(mask));
  });
}

std::vector<CpuQuota> cpu_quotas(std::string_view groups, const fs::path& root) {
  std::vector<CpuQuota> quotas;
  std::istringstream lines{std::string(groups)};
  for (std::string line; std::getline(lines, line);) {
    // NUMBER:CONTROLLERS:PATH
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const fs::path path = fs::path(line.substr(second + 1)).relative_path();
    for (const fs::path& mount : mounts_of(line.substr(first + 1, second - first - 1), root)) {
      // A container may see its own group where the path says another one: then only "/" is there.
      fs::path group = path;
      for (; !group.empty(); group = group.parent_path()) add_limit(mount / group, quotas);
      add_limit(mount, quotas);
    }
  }
  return quotas;
}

Cores cores_of_this_process() {
  std::ifstream file("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return {.usable = usable_cores(), .quotas = cpu_quotas(groups)};
}

std::string to_text(const Cores& cores) {
  std::string text = cores.usable;
  for (const CpuQuota& quota : cores.quotas) {
    text += fmt::format(" {}={}", quota.group, quota.cores);
  }
  return text;
}

Cores cores_of_text(std::string_view text) {
  std::istringstream words{std::string(text)};
  Cores cores;
  std::string word;
  if (!text.starts_with(' ')) words >> cores.usable;
  while (words >> word) {
    const std::size_t equals = word.find('=');
    cores.quotas.push_back(
        {word.substr(0, equals), parse_number<double>(word.substr(equals + 1)).value_or(1.0)});
  }
  return cores;
}

int share_of_cores(const std::vector<Cores>& ranks, std::size_t own) {
  const auto count = [&](const auto& uses) {
    return static_cast<double>(std::ranges::count_if(ranks, uses));
  };
  double share = 0.0;
  for (std::size_t core = 0; core < ranks[own].usable.size(); ++core) {
    if (ranks[own].usable[core] == '0') continue;
    share += 1.0 / count([&](const Cores& rank) {
               return core < rank.usable.size() && rank.usable[core] == '1';
             });
  }
  for (const CpuQuota& quota : ranks[own].quotas) {
    const double members = count([&](const Cores& rank) {
      return std::ranges::find(rank.quotas, quota.group, &CpuQuota::group) != rank.quotas.end();
    });
    share = std::min(share, quota.cores / members);
  }
  constexpr double kRounding = 1e-9;
  return std::max(1, static_cast<int>(share + kRounding));
}

int requested_threads(std::string_view text) {
  constexpr int kMostThreads = 65536;
  int requested = 0;
  for (std::string_view rest = text;;) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    std::string_view entry = rest.substr(0, comma);
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    const auto threads = parse_number<int>(entry);
    GOSSIP_CHECK(threads && *threads >= 1 && *threads <= kMostThreads,
                 "OMP_NUM_THREADS is '{}': it must be a number of threads, {}, or a list of such "
                 "for nested levels.",
                 text, expected_number(1, kMostThreads));
    if (requested == 0) requested = *threads;
    if (comma == rest.size()) return requested;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace gossip::runtime
