// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/runtime/gpu.h>

#include "support/temporary_folder.h"

namespace gossip::runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> visible(const std::optional<std::string>& list, int installed) {
  return visible_gpus(
      [&](const std::string& name) {
        return name == "CUDA_VISIBLE_DEVICES" ? list : std::optional<std::string>();
      },
      installed);
}

TEST(Gpu, AreAllInstalledOnesUnlessTheVariableIsSet) {
  EXPECT_THAT(visible(std::nullopt, 0), IsEmpty());
  EXPECT_THAT(visible(std::nullopt, 3), ElementsAre("0", "1", "2"));
}

TEST(Gpu, AreThoseOfTheVariableInItsOrder) {
  EXPECT_THAT(visible("2,0", 4), ElementsAre("2", "0"));
  EXPECT_THAT(visible(" 1 , 3 ", 4), ElementsAre("1", "3"));
  EXPECT_THAT(visible("GPU-8932f937,GPU-1c", 4), ElementsAre("GPU-8932f937", "GPU-1c"));
  EXPECT_THAT(visible("MIG-GPU-8932/1/0", 4), ElementsAre("MIG-GPU-8932/1/0"));
  EXPECT_THAT(visible("0,1", 0), ElementsAre("0", "1")) << "no device files are seen";
}

TEST(Gpu, EndWithTheFirstEntryThatIsNone) {
  for (const char* none : {"", "-1", "NoDevFiles", " ", ",0", "7"}) {
    EXPECT_THAT(visible(none, 4), IsEmpty()) << none;
  }
  EXPECT_THAT(visible("0,2,-1,1", 4), ElementsAre("0", "2"));
  EXPECT_THAT(visible("0,4,1", 4), ElementsAre("0"));
  EXPECT_THAT(visible("1,1", 4), IsEmpty()) << "CUDA shows none";
}

TEST(Gpu, AreCountedByTheirDeviceFiles) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(installed_gpus(folder.path()), 0);
  for (const char* name : {"nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "nvidia"}) {
    std::ofstream(folder.path() / name) << "";
  }
  EXPECT_EQ(installed_gpus(folder.path()), 3);
  EXPECT_EQ(installed_gpus(folder.path() / "none"), 0);
}

TEST(Gpu, OfARankIsItsLocalRankAmongTheVisibleOnes) {
  EXPECT_EQ(gpu_of_rank(0, 0), std::nullopt);
  EXPECT_EQ(gpu_of_rank(3, 4), 3);
  EXPECT_EQ(gpu_of_rank(3, 1), 0) << "each rank sees its own";
  EXPECT_EQ(gpu_of_rank(5, 4), 1);
  EXPECT_EQ(gpu_of_rank(-1, 4), std::nullopt) << "a launcher's variable may say anything";
}

TEST(Gpu, ThatRanksShareAreNamed) {
  EXPECT_EQ(shared_gpus({"0", "1", "2"}), std::nullopt);
  EXPECT_EQ(shared_gpus({"", ""}), std::nullopt);
  EXPECT_THAT(shared_gpus({"0", "1", "0", "1", ""}),
              testing::Optional(testing::StartsWith("4 ranks of this host share 2 GPUs (0, 1).")));
  EXPECT_THAT(shared_gpus({"GPU-1", "GPU-1"}),
              testing::Optional(testing::StartsWith("2 ranks of this host share 1 GPU (GPU-1).")));
}

TEST(Gpu, AreNotComparedWhereSlurmGivesEachTaskItsOwn) {
  const auto with = [](const std::string& set, const std::string& text) {
    return [=](const std::string& name) {
      if (name == "CUDA_VISIBLE_DEVICES") return std::optional<std::string>("0");
      return name == set ? std::optional(text) : std::nullopt;
    };
  };
  EXPECT_TRUE(are_gpus_compared(with("", "")));
  EXPECT_TRUE(are_gpus_compared(with("SLURM_GPU_BIND", "none")));
  EXPECT_TRUE(are_gpus_compared(with("SLURM_GPU_BIND", "verbose,none")));
  EXPECT_FALSE(are_gpus_compared(with("SLURM_GPU_BIND", "single:1")));
  EXPECT_FALSE(are_gpus_compared(with("SLURM_GPUS_PER_TASK", "1")));
}

}  // namespace
}  // namespace gossip::runtime
