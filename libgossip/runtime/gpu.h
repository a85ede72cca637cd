// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which GPU a rank uses. Nothing here needs CUDA to be installed.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <libgossip/base/variables.h>

namespace gossip::runtime {

/// How many GPUs this host has: device files nvidia0, nvidia1, ... in `folder`.
[[nodiscard]] int installed_gpus(const std::filesystem::path& folder = "/dev");

/// The GPUs that CUDA would show to this process, in its order, by the names that
/// CUDA_VISIBLE_DEVICES gives them: all `installed` ones ("0", "1", ...) where the variable is not
/// set, else its entries (numbers, GPU-... or MIG-...) up to the first that is none, such as "-1"
/// or Slurm's "NoDevFiles"; none where an entry repeats. Where no device file is seen (`installed`
/// is 0) the variable's entries are believed.
[[nodiscard]] std::vector<std::string> visible_gpus(const Variables& variables, int installed);

/// The number, among `num_visible` GPUs, of the one for a rank: its local rank modulo their number.
/// Right when every rank sees all GPUs of its host, and when each sees only its own. Nothing
/// without a GPU.
[[nodiscard]] std::optional<int> gpu_of_rank(int local_rank, int num_visible);

/// Makes `gpu` the current device of the CUDA runtime, where a shared one is loaded into this
/// process and this host has a GPU. Returns CUDA's reason when the runtime refuses, else nothing.
[[nodiscard]] std::optional<std::string> use_gpu(int gpu);

/// Whether GPUs matter to this process: CUDA_VISIBLE_DEVICES is set, or a CUDA runtime is loaded;
/// and their names say which ones ranks share, which they do not where each task has its own.
[[nodiscard]] bool are_gpus_compared(const Variables& variables);

/// A sentence for ranks of one host that use the same GPU, given the name of each one's, by local
/// rank ("" for none); nothing when no two do.
[[nodiscard]] std::optional<std::string> shared_gpus(const std::vector<std::string>& gpus);

}  // namespace gossip::runtime
