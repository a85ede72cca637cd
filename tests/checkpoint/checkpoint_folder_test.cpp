// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/checkpoint/checkpoint_folder.h>
#include <libgossip/checkpoint/checkpoint_set.h>

#include "support/expect_throw.h"
#include "support/failing_readdir.h"
#include "support/temporary_folder.h"

namespace {

/// unlink() removes nothing.
std::atomic<bool> names_stay = false;

}  // namespace

/// In place of the system's: as in a folder that belongs to somebody else.
extern "C" int unlink(const char* path) noexcept {
  struct stat status {};
  if (!names_stay || ::lstat(path, &status) != 0) {
    return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
  }
  errno = EACCES;
  return -1;
}

namespace gossip::checkpoint {
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
  test::write_file(folder() / "step-4" / "rank-0.json.tmp", "half");
  const std::vector<std::string> own{"mine.txt",          "rank-0.log",     "rank-.json",
                                     "rank-00.json",      "rank-0.json.gz", "rank-0.json.tmp.tmp",
                                     "manifest.json.bak", "rank--1.json"};
  for (const std::string& name : own) test::write_file(folder() / "step-4" / name, "mine");
  taken.remove_incomplete();
  for (const std::string& name : own) EXPECT_TRUE(exists("step-4/" + name)) << name;
  for (const char* name : {"rank-0.json", "rank-0.json.tmp", "rank-0.safetensors"}) {
    EXPECT_FALSE(exists(std::string("step-4/") + name)) << name;
  }
}

/// A run that goes on from a set of another one finds it under a link, or all of its files.
class CheckpointLinkTest : public CheckpointFolderTest {
 protected:
  /// What lies in `other`, beside the folder.
  [[nodiscard]] std::filesystem::path other() const { return folder().parent_path() / "other"; }

  /// A complete set there.
  void make_other_set() const {
    make_set(12);
    std::filesystem::create_directories(other());
    std::filesystem::rename(folder() / "step-12", other() / "step-12");
  }

  [[nodiscard]] bool is_link(const std::string& name) const {
    return std::filesystem::is_symlink(folder() / name);
  }

  [[nodiscard]] std::vector<std::string> files_of_other() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(other())) {
      names.push_back(std::filesystem::relative(entry.path(), other()).string());
    }
    return names;
  }
};

TEST_F(CheckpointLinkTest, OfALinkedSetOnlyTheLinkIsRemoved) {
  make_other_set();
  const CheckpointFolder taken(folder());
  std::filesystem::create_directory_symlink("../other/step-12", folder() / "step-12");
  make_set(14);
  EXPECT_THAT(complete_sets(folder()), ElementsAre(12, 14));
  const auto before = files_of_other();
  taken.keep_newest(1);
  EXPECT_THAT(complete_sets(folder()), ElementsAre(14));
  EXPECT_FALSE(is_link("step-12"));
  EXPECT_EQ(files_of_other(), before);
}

TEST_F(CheckpointLinkTest, OfASetOfLinksOnlyTheLinksAreRemoved) {
  make_other_set();
  const CheckpointFolder taken(folder());
  std::filesystem::create_directory(folder() / "step-12");
  for (const auto& entry : std::filesystem::directory_iterator(other() / "step-12")) {
    std::filesystem::create_symlink(entry.path(), folder() / "step-12" / entry.path().filename());
  }
  make_set(14);
  const auto before = files_of_other();
  taken.keep_newest(1);
  EXPECT_FALSE(exists("step-12"));
  EXPECT_EQ(files_of_other(), before);
}

TEST_F(CheckpointLinkTest, LinksToWhatIsNoSetAreRemovedAlone) {
  const CheckpointFolder taken(folder());
  std::filesystem::create_directories(other() / "step-3");
  test::write_file(other() / "step-3" / "rank-0.json", "of a set that is incomplete");
  test::write_file(other() / "file", "a file");
  std::filesystem::create_directory_symlink(other() / "step-3", folder() / "step-3");
  std::filesystem::create_symlink(other() / "file", folder() / "step-4");
  std::filesystem::create_symlink("nowhere", folder() / "step-5");
  std::filesystem::create_symlink("step-6", folder() / "step-6");
  std::filesystem::create_symlink(other() / "file", folder() / "mine");
  const auto before = files_of_other();
  EXPECT_THAT(complete_sets(folder()), IsEmpty());
  taken.remove_incomplete();
  for (const char* name : {"step-3", "step-4", "step-5", "step-6"}) EXPECT_FALSE(is_link(name));
  EXPECT_TRUE(is_link("mine"));
  EXPECT_EQ(files_of_other(), before);
}

TEST_F(CheckpointLinkTest, WhatIsWrittenReachesNothingBehindALink) {
  make_other_set();
  const auto contents = [&] {
    std::string all;
    for (const std::string& name : files_of_other()) {
      if (std::filesystem::is_regular_file(other() / name)) all += test::read_file(other() / name);
    }
    return all;
  };
  const std::string before = contents();
  {  // the set itself, and the lock of the folder
    test::write_file(other() / "lock", "of the other run");
    std::filesystem::create_symlink("../other/lock", folder() / "lock");
    std::filesystem::create_directory_symlink("../other/step-12", folder() / "step-12");
    const CheckpointFolder taken(folder());
    EXPECT_EQ(test::read_file(other() / "lock"), "of the other run");
    std::filesystem::remove(other() / "lock");
    make_set(12);
    EXPECT_FALSE(is_link("step-12"));
    EXPECT_EQ(contents(), before);
  }
  const std::filesystem::path set = folder() / "step-14";
  std::filesystem::create_directory(set);
  for (const std::string name : {"rank-0.json", "rank-0.safetensors", "manifest.json"}) {
    std::filesystem::create_symlink(other() / "step-12" / name, set / name);
    std::filesystem::create_hard_link(other() / "step-12" / name, set / (name + ".tmp"));
  }
  make_set(14);
  EXPECT_EQ(contents(), before);
  std::filesystem::remove_all(set);
  std::filesystem::create_directory(set);
  for (const std::string name : {"rank-0.json", "rank-0.safetensors", "manifest.json"}) {
    std::filesystem::create_symlink(other() / "step-12" / name, set / (name + ".tmp"));
  }
  make_set(14);
  EXPECT_EQ(contents(), before);
  EXPECT_THAT(complete_sets(folder()), ElementsAre(12, 14));
}

TEST_F(CheckpointLinkTest, ALinkThatCannotBeRemovedIsNotFollowed) {
  make_other_set();
  test::write_file(other() / "lock", "of the other run");
  const CheckpointFolder taken(folder());
  std::filesystem::create_directory_symlink("../other/step-12", folder() / "step-12");
  make_set(14);
  std::filesystem::create_symlink(other() / "lock", folder() / "step-14" / "rank-0.json.tmp");
  const std::string record = test::read_file(record_file(other() / "step-12", 0));
  const auto before = files_of_other();
  names_stay = true;
  taken.keep_newest(1);
  test::expect_throw<Error>([&] { make_set(12); }, {"Cannot remove the link", "step-12"});
  test::expect_throw<Error>([&] { make_set(14); }, {"Cannot write the file", "rank-0.json.tmp"});
  std::filesystem::remove(folder() / "lock");
  std::filesystem::create_symlink(other() / "lock", folder() / "lock");
  test::expect_throw<Error>([&] { const CheckpointFolder again(folder()); },
                            {"Cannot remove the link", "lock"});
  names_stay = false;
  EXPECT_TRUE(is_link("step-12"));
  EXPECT_EQ(files_of_other(), before);
  EXPECT_EQ(test::read_file(record_file(other() / "step-12", 0)), record);
  EXPECT_EQ(test::read_file(other() / "lock"), "of the other run");
}

/// As `cp -al` makes it.
TEST_F(CheckpointLinkTest, ACopyMadeOfHardLinksIsAFolderOfItsOwn) {
  const CheckpointFolder original(other());
  std::filesystem::create_directories(folder());
  std::filesystem::create_hard_link(other() / "lock", folder() / "lock");
  const CheckpointFolder copy(folder());
  original.check();
  copy.check();
}

TEST_F(CheckpointLinkTest, ALinkedFolderIsTheFolderThatItLeadsTo) {
  std::filesystem::create_directories(other());
  std::filesystem::create_directory_symlink("other", folder());
  const CheckpointFolder taken(folder());
  for (const int step : {1, 2, 3}) make_set(step);
  taken.keep_newest(1);
  EXPECT_THAT(complete_sets(other()), ElementsAre(3));
  EXPECT_TRUE(std::filesystem::is_symlink(folder()));
}

TEST_F(CheckpointFolderTest, FilesWithTheNameOfASetStay) {
  const CheckpointFolder taken(folder());
  test::write_file(folder() / "step-4", "mine");
  taken.remove_incomplete();
  EXPECT_TRUE(exists("step-4"));
}

/// A set that counts as complete has all of its files: here a folder stands in the manifest's
/// place.
TEST_F(CheckpointFolderTest, ASetWhoseManifestCannotBeRemovedStaysWhole) {
  const CheckpointFolder taken(folder());
  make_set(4, false);
  std::filesystem::create_directories(folder() / "step-4" / "manifest.json" / "folder");
  make_set(5);
  EXPECT_THAT(complete_sets(folder()), ElementsAre(4, 5));
  taken.keep_newest(1);
  EXPECT_TRUE(exists("step-4/rank-0.json"));
  EXPECT_TRUE(exists("step-4/rank-0.safetensors"));
}

TEST_F(CheckpointFolderTest, IsSharedByRanksThatSeeIt) {
  const CheckpointFolder taken(folder());
  check_is_shared(folder(), taken.run());
  constexpr std::chrono::milliseconds kShort{100};
  test::expect_throw<Error>([&] { check_is_shared(folder(), "another", kShort); },
                            {folder().string(), "all ranks share"});
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

TEST_F(CheckpointFolderTest, SaysThatAFolderStandsInTheLocksPlace) {
  std::filesystem::create_directories(folder() / "lock");
  test::expect_throw<Error>([&] { const CheckpointFolder taken(folder()); },
                            {"Cannot write the file", "lock", "Is a directory"});
}

TEST_F(CheckpointFolderTest, SaysWhyItCannotBeMade) {
  test::write_file(folder(), "a file");
  test::expect_throw<Error>([&] { const CheckpointFolder taken(folder()); }, {folder().string()});
}

TEST_F(CheckpointFolderTest, AFolderThatCannotBeReadToItsEndIsAnErrorForWhoeverLooksForSets) {
  const CheckpointFolder taken(folder());
  for (const int step : {1, 2, 3}) make_set(step);
  for (const int names : {0, 3}) {
    test::names_until_failure = names;
    test::expect_throw<Error>([&] { static_cast<void>(complete_sets(folder())); },
                              {"Cannot see", folder().string(), "Input/output error"});
    test::names_until_failure = -1;
  }
}

TEST_F(CheckpointFolderTest, ASetWhoseManifestCannotBeSeenIsAnErrorAndIsNotRemoved) {
  const CheckpointFolder taken(folder());
  for (const int step : {4, 5}) make_set(step);
  const std::filesystem::path manifest = folder() / "step-5" / "manifest.json";
  std::filesystem::rename(manifest, folder() / "elsewhere");
  std::filesystem::create_symlink(std::string(300, 'x'), manifest);  // longer than a name can be
  test::expect_throw<Error>([&] { static_cast<void>(complete_sets(folder())); },
                            {"Cannot see whether", "step-5", "File name too long"});
  taken.keep_newest(1);
  taken.remove_incomplete();
  std::filesystem::rename(folder() / "elsewhere", manifest);
  EXPECT_THAT(complete_sets(folder()), ElementsAre(4, 5));
  EXPECT_TRUE(exists("step-5/rank-0.json"));
}

TEST_F(CheckpointFolderTest, WhatCannotBeReadIsNotRemoved) {
  const CheckpointFolder taken(folder());
  for (const int step : {1, 2, 3}) make_set(step);
  make_set(4, false);
  for (const int names : {0, 1, 3, 4}) {
    test::names_until_failure = names;
    taken.keep_newest(3);
    taken.remove_incomplete();
    test::names_until_failure = -1;
    EXPECT_THAT(complete_sets(folder()), ElementsAre(1, 2, 3));
  }
  taken.remove_incomplete();
  EXPECT_FALSE(exists("step-4"));
}

}  // namespace
}  // namespace gossip::checkpoint
