// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How many threads a rank computes with.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gossip::runtime {

/// The time that a control group of Linux gives its processes, as containers and Slurm set it.
struct CpuQuota {
  std::string group;   ///< device and number of its folder: the same in all its processes
  double cores = 0.0;  ///< in seconds of computing a second
};

/// What one process may use.
struct Cores {
  std::string usable;                 ///< '1' for each core that it may run on, '0' for the others
  std::vector<CpuQuota> quotas = {};  ///< of its control group and those around it
};

/// As sched_getaffinity: fills a mask of so many bytes; not 0 where it is too short.
using GetAffinity = std::function<int(std::size_t bytes, void* mask)>;

/// The cores that this process may run on, on hosts of any size; all '0' where the system does not
/// say it. Local.
[[nodiscard]] std::string usable_cores(const GetAffinity& get);
[[nodiscard]] std::string usable_cores();

/// The limits of the control groups named in `groups`, the text of /proc/self/cgroup, and of those
/// around them, of version 2 (cpu.max) and 1 (cpu.cfs_quota_us), below `root`. What cannot be read
/// is no limit. Local.
[[nodiscard]] std::vector<CpuQuota> cpu_quotas(
    std::string_view groups, const std::filesystem::path& root = "/sys/fs/cgroup");

/// What this process may use. Local.
[[nodiscard]] Cores cores_of_this_process();

/// As one text, and back: for the other ranks.
[[nodiscard]] std::string to_text(const Cores& cores);
[[nodiscard]] Cores cores_of_text(std::string_view text);

/// The threads of rank `own`, at least 1, given what all ranks of its host may use: each core and
/// each quota counts by the number of ranks that share it, whether a launcher bound them to cores
/// of their own or they share what a container has.
[[nodiscard]] int share_of_cores(const std::vector<Cores>& ranks, std::size_t own);

/// The threads that a text for OMP_NUM_THREADS asks for, as OpenMP reads it: "4", or a list such as
/// "4,2", whose first number is for threads that are not nested. Throws gossip::Error for any other
/// text.
[[nodiscard]] int requested_threads(std::string_view text);

}  // namespace gossip::runtime
