// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <dlfcn.h>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include <libgossip/runtime/gpu.h>

namespace gossip::runtime {
namespace {

bool is_device_file(std::string_view name) {
  constexpr std::string_view kPrefix = "nvidia";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return false;
  name.remove_prefix(kPrefix.size());
  return std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

constexpr const char* kSetDevice = "cudaSetDevice";

/// A function of a shared library that is loaded already.
void* loaded(const char* name) { return dlsym(RTLD_DEFAULT, name); }

/// The name of an entry of CUDA_VISIBLE_DEVICES; nothing when it stands for no GPU.
std::optional<std::string> gpu_named(std::string_view entry, int installed) {
  if (entry.starts_with("GPU-") || entry.starts_with("MIG-")) return std::string(entry);
  int index = 0;
  const auto [rest, error] = std::from_chars(entry.data(), entry.data() + entry.size(), index);
  if (error != std::errc() || index < 0) return std::nullopt;
  if (installed > 0 && index >= installed) return std::nullopt;
  return std::to_string(index);
}

}  // namespace

int installed_gpus(const std::filesystem::path& folder) {
  int count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (is_device_file(entry.path().filename().string())) ++count;
  }
  return count;
}

std::vector<std::string> visible_gpus(const Variables& variables, int installed) {
  std::vector<std::string> gpus;
  const auto list = variables("CUDA_VISIBLE_DEVICES");
  if (!list) {
    for (int gpu = 0; gpu < installed; ++gpu) gpus.push_back(std::to_string(gpu));
    return gpus;
  }
  std::string_view rest = *list;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto gpu = gpu_named(trimmed(rest.substr(0, comma)), installed);
    if (!gpu) break;
    if (std::ranges::find(gpus, *gpu) != gpus.end()) return {};
    gpus.push_back(*gpu);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return gpus;
}

std::optional<int> gpu_of_rank(int local_rank, int num_visible) {
  if (num_visible == 0 || local_rank < 0) return std::nullopt;
  return local_rank % num_visible;
}

std::optional<std::string> use_gpu(int gpu) {
  using SetDevice = int (*)(int);
  using ErrorText = const char* (*)(int);
  const auto set = reinterpret_cast<SetDevice>(loaded(kSetDevice));
  if (set == nullptr || installed_gpus() == 0) return std::nullopt;
  const int status = set(gpu);
  if (status == 0) return std::nullopt;
  const auto text = reinterpret_cast<ErrorText>(loaded("cudaGetErrorString"));
  return text != nullptr ? text(status) : fmt::format("error {}", status);
}

bool are_gpus_compared(const Variables& variables) {
  // Where the site hides the other GPUs from a task, each task's own is its number 0.
  const bool is_bound = !variables("SLURM_GPU_BIND").value_or("none").ends_with("none");
  if (is_bound || variables("SLURM_GPUS_PER_TASK")) return false;
  return variables("CUDA_VISIBLE_DEVICES") || loaded(kSetDevice) != nullptr;
}

std::optional<std::string> shared_gpus(const std::vector<std::string>& gpus) {
  std::vector<std::string> used = gpus;
  std::erase(used, "");
  const std::size_t users = used.size();
  std::ranges::sort(used);
  used.erase(std::unique(used.begin(), used.end()), used.end());
  if (used.size() == users) return std::nullopt;
  return fmt::format(
      "{} ranks of this host share {} GPU{} ({}). Start one rank a GPU: --ntasks-per-node equal to "
      "--gpus-per-node, or fewer ranks for mpirun.",
      users, used.size(), used.size() == 1 ? "" : "s", fmt::join(used, ", "));
}

}  // namespace gossip::runtime
