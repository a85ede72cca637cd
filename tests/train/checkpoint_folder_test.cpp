// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/train/checkpoint_folder.h>
#include <libgossip/train/checkpoint_set.h>

#include "support/expect_throw.h"
#include "support/temporary_folder.h"

namespace gossip::train {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CheckpointFolderTest : public testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path folder() const { return temporary_.path() / "checkpoints"; }

  void make_set(std::int64_t step, bool is_complete = true) const {
    const std::filesystem::path set = folder() / set_name(step);
    write_rank(set, {.run = "run", .step = step}, {}, {});
    if (is_complete) write_manifest(set, "run", step, 1);
  }

  [[nodiscard]] bool exists(const std::string& name) const {
    return std::filesystem::exists(folder() / name);
  }

 private:
  test::TemporaryFolder temporary_;
};

TEST_F(CheckpointFolderTest, FindsCompleteSetsInTheOrderOfTheirSteps) {
  EXPECT_THAT(complete_sets(folder()), IsEmpty());
  for (const int step : {100, 9, 20}) make_set(step);
  make_set(50, false);
  std::filesystem::create_directories(folder() / "step-x");
  std::filesystem::create_directories(folder() / "step-007");
  test::write_file(folder() / "step-007" / "manifest.json", "");
  EXPECT_THAT(complete_sets(folder()), ElementsAre(9, 20, 100));
}

TEST_F(CheckpointFolderTest, KeepsTheNewest) {
  const CheckpointFolder taken(folder());
  for (const int step : {1, 2, 3, 4, 5}) make_set(step);
  taken.keep_newest(2);
  EXPECT_THAT(complete_sets(folder()), ElementsAre(4, 5));
  EXPECT_FALSE(exists("step-1"));
  taken.keep_newest(3);
  EXPECT_THAT(complete_sets(folder()), ElementsAre(4, 5));
}

TEST_F(CheckpointFolderTest, RemovesWhatKilledRunsLeft) {
  const CheckpointFolder taken(folder());
  make_set(3);
  make_set(4, false);
  make_set(9, false);
  test::write_file(folder() / "step-4" / "rank-0.safetensors.tmp", "half");
  test::write_file(folder() / "notes.txt", "mine");
  taken.remove_incomplete(5);
  EXPECT_FALSE(exists("step-4"));
  EXPECT_TRUE(exists("step-9"));
  taken.remove_incomplete();
  EXPECT_FALSE(exists("step-9"));
  EXPECT_TRUE(exists("notes.txt"));
  EXPECT_THAT(complete_sets(folder()), ElementsAre(3));
}

TEST_F(CheckpointFolderTest, LeavesFilesOfOthersInASet) {
  const CheckpointFolder taken(folder());
  make_set(4, false);
  test::write_file(folder() / "step-4" / "mine.txt", "mine");
  taken.remove_incomplete();
  EXPECT_TRUE(exists("step-4/mine.txt"));
  EXPECT_FALSE(exists("step-4/rank-0.json"));
}

TEST_F(CheckpointFolderTest, BelongsToOneRun) {
  std::optional<CheckpointFolder> first(folder());
  test::expect_throw<Error>([&] { const CheckpointFolder second(folder()); },
                            {folder().string(), "still goes on", "process", first->run()});
  first->check();
  first.reset();
  const CheckpointFolder second(folder());
  second.check();
}

/// As on a file system without locks: another run has written its name there.
TEST_F(CheckpointFolderTest, NoticesThatItWasTaken) {
  const CheckpointFolder first(folder());
  test::write_file(folder() / "lock", "process 12 on somewhere, run other");
  test::expect_throw<Error>([&] { first.check(); },
                            {folder().string(), "process 12 on somewhere", "saves no more"});
}

TEST_F(CheckpointFolderTest, SaysWhyItCannotBeMade) {
  test::write_file(folder(), "a file");
  test::expect_throw<Error>([&] { const CheckpointFolder taken(folder()); }, {folder().string()});
}

}  // namespace
}  // namespace gossip::train
