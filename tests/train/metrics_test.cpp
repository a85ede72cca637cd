// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>
#include <limits>
#include <set>
#include <sstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <libgossip/base/error.h>
#include <libgossip/train/metrics.h>

#include "support/failing_readdir.h"
#include "support/temporary_folder.h"

namespace gossip::train {
namespace {

using Json = nlohmann::json;
using test::read_file;
using test::TemporaryFolder;
using test::write_file;
using testing::HasSubstr;

const StartRecord kStart = {
    .optimizer = "gossip-sgd", .topology = "ring", .transport = "shared", .parameters = 207178};
const Totals kTotals = {.step = 20,
                        .samples = 1280,
                        .seconds = 2.5,
                        .gossip_rounds = 20,
                        .bytes_sent = 16574240,
                        .bytes_received = 16574241,
                        .wait_seconds = 0.25};

std::vector<Json> lines_of(const std::filesystem::path& path) {
  std::vector<Json> lines;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::set<std::string> names_of(const Json& json) {
  std::set<std::string> names;
  for (const auto& item : json.items()) names.insert(item.key());
  return names;
}

// The message of the gossip::Error that `action` throws; empty when it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(MetricsWriter, WritesOneLineARecordUnderTheRanksName) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path() / "runs" / "a", 2, 4);

  metrics.write_start(kStart);
  metrics.write_step({.epoch = 1, .totals = kTotals, .loss = 0.5, .lr = 0.1});
  metrics.write_epoch({.epoch = 1, .totals = kTotals, .loss = 0.4, .lr = 0.1});

  const auto lines = lines_of(folder.path() / "runs" / "a" / "metrics.rank2.jsonl");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["event"], "start");
  EXPECT_EQ(lines[1]["event"], "step");
  EXPECT_EQ(lines[2]["event"], "epoch");
  for (const Json& line : lines) EXPECT_EQ(line["rank"], 2);
}

TEST(MetricsWriter, StartHasExactlyTheseFields) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 4);

  metrics.write_start(kStart);

  const Json line = lines_of(folder.path() / "metrics.rank0.jsonl").at(0);
  const Json expected = {{"event", "start"},
                         {"schema", 1},
                         {"rank", 0},
                         {"size", 4},
                         {"topology", "ring"},
                         {"optimizer", "gossip-sgd"},
                         {"transport", "shared"},
                         {"parameters", 207178},
                         {"status", "running"}};
  EXPECT_EQ(line, expected);
}

TEST(MetricsWriter, AResumedRunGoesOnBehindWhatThereIs) {
  TemporaryFolder folder;
  {
    MetricsWriter metrics(folder.path(), 0, 2);
    metrics.write_start(kStart);
    MetricsWriter(folder.path(), 1, 2).write_start(kStart);
  }
  std::ofstream(folder.path() / "metrics.rank0.jsonl", std::ios::app) << "{\"event\":\"st";
  test::write_file(folder.path() / "result.json", "{}");

  MetricsWriter metrics(folder.path(), 0, 1, LineFile::Start::kAfter);
  metrics.write_resume({.totals = kTotals, .checkpoint = "step-20", .is_exact = false});

  const std::string text = test::read_file(folder.path() / "metrics.rank0.jsonl");
  const std::size_t half = text.find("{\"event\":\"st\n");
  ASSERT_NE(half, std::string::npos) << text;
  const Json line = Json::parse(text.substr(half + 13));
  const Json expected = {{"event", "resume"},
                         {"schema", 1},
                         {"rank", 0},
                         {"size", 1},
                         {"step", 20},
                         {"samples", 1280},
                         {"seconds", 2.5},
                         {"gossip_rounds", 20},
                         {"bytes_sent", 16574240},
                         {"bytes_received", 16574241},
                         {"wait_seconds", 0.25},
                         {"checkpoint", "step-20"},
                         {"exact", false},
                         {"status", "running"}};
  EXPECT_EQ(line, expected);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "metrics.rank1.jsonl"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "result.json"));
}

TEST(MetricsWriter, StepHasExactlyTheseFields) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 4);

  metrics.write_step({.epoch = 3,
                      .totals = kTotals,
                      .loss = 0.5,
                      .lr = 0.1,
                      .images_per_second = 9000.0,
                      .consensus_distance = 1e-3});

  const Json line = lines_of(folder.path() / "metrics.rank0.jsonl").at(0);
  const Json expected = {{"event", "step"},
                         {"rank", 0},
                         {"epoch", 3},
                         {"step", 20},
                         {"samples", 1280},
                         {"seconds", 2.5},
                         {"loss", 0.5},
                         {"lr", 0.1},
                         {"gossip_rounds", 20},
                         {"bytes_sent", 16574240},
                         {"bytes_received", 16574241},
                         {"wait_seconds", 0.25},
                         {"images_per_second", 9000.0},
                         {"consensus_distance", 1e-3}};
  EXPECT_EQ(line, expected);
}

TEST(MetricsWriter, EpochAndResultHaveTheAccuraciesAndTheStatus) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 4);

  metrics.write_epoch({.epoch = 1,
                       .totals = kTotals,
                       .loss = 0.4,
                       .lr = 0.1,
                       .test_accuracy_mean_model = 0.91,
                       .test_accuracy_local = 0.90,
                       .consensus_distance = 0.01,
                       .images_per_second = 9000.0});
  metrics.write_result({.start = kStart,
                        .status = Status::kComplete,
                        .epoch = 1,
                        .totals = kTotals,
                        .loss = 0.4,
                        .lr = 0.1,
                        .test_accuracy_mean_model = 0.91,
                        .test_accuracy_local = 0.90,
                        .consensus_distance = 0.01,
                        .images_per_second = 9000.0});

  const std::set<std::string> common = {"rank",
                                        "epoch",
                                        "step",
                                        "samples",
                                        "seconds",
                                        "loss",
                                        "lr",
                                        "gossip_rounds",
                                        "bytes_sent",
                                        "bytes_received",
                                        "wait_seconds",
                                        "test_accuracy_mean_model",
                                        "test_accuracy_local",
                                        "consensus_distance",
                                        "images_per_second",
                                        "status"};
  std::set<std::string> of_epoch = common;
  of_epoch.insert("event");
  std::set<std::string> of_result = common;
  of_result.insert({"schema", "size", "optimizer", "topology", "transport", "parameters"});
  const Json epoch = lines_of(folder.path() / "metrics.rank0.jsonl").at(0);
  const Json result = Json::parse(read_file(folder.path() / "result.json"));
  EXPECT_EQ(names_of(epoch), of_epoch);
  EXPECT_EQ(names_of(result), of_result);
  EXPECT_EQ(epoch["test_accuracy_mean_model"], 0.91);
  EXPECT_EQ(epoch["test_accuracy_local"], 0.90);
  EXPECT_EQ(epoch["status"], "running");
  EXPECT_EQ(result["test_accuracy_mean_model"], 0.91);
  EXPECT_EQ(result["schema"], 1);
  EXPECT_EQ(result["size"], 4);
  EXPECT_EQ(result["status"], "complete");
}

TEST(MetricsWriter, LeavesOutWhatWasNotMeasured) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 1);

  metrics.write_epoch({.epoch = 1, .totals = kTotals, .loss = 0.4, .lr = 0.1});

  const Json line = lines_of(folder.path() / "metrics.rank0.jsonl").at(0);
  EXPECT_FALSE(line.contains("test_accuracy_mean_model"));
  EXPECT_FALSE(line.contains("consensus_distance"));
}

TEST(MetricsWriter, WritesNaNAndInfinityAsNull) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 1);

  metrics.write_step({.epoch = 1,

                      .loss = std::numeric_limits<double>::quiet_NaN(),
                      .lr = 0.1,
                      .consensus_distance = std::numeric_limits<double>::infinity()});

  const Json line = lines_of(folder.path() / "metrics.rank0.jsonl").at(0);
  EXPECT_TRUE(line["loss"].is_null());
  EXPECT_TRUE(line["consensus_distance"].is_null());
}

TEST(MetricsWriter, KeepsAllDigitsOfANumber) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 1);
  const double loss = 0.1234567890123456789;

  metrics.write_step({.epoch = 1, .totals = {.bytes_sent = 1LL << 60}, .loss = loss, .lr = 0.1});

  const Json line = lines_of(folder.path() / "metrics.rank0.jsonl").at(0);
  EXPECT_EQ(line["loss"].get<double>(), loss);
  EXPECT_EQ(line["bytes_sent"].get<std::int64_t>(), 1LL << 60);
}

TEST(MetricsWriter, AddsExtraFieldsOfEveryType) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 1);

  metrics.write_step({.epoch = 1,
                      .totals = kTotals,
                      .loss = 0.4,
                      .lr = 0.1,
                      .extra = {{"bytes_nominal", true},
                                {"staleness", std::int64_t{3}},
                                {"seed", std::numeric_limits<std::uint64_t>::max()},
                                {"momentum", 0.9},
                                {"note", "a \"quoted\"\nline"}}});

  const auto lines = lines_of(folder.path() / "metrics.rank0.jsonl");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["bytes_nominal"], true);
  EXPECT_EQ(lines[0]["staleness"], 3);
  EXPECT_EQ(lines[0]["seed"].dump(), "18446744073709551615");
  EXPECT_EQ(lines[0]["momentum"], 0.9);
  EXPECT_EQ(lines[0]["note"], "a \"quoted\"\nline");
}

TEST(MetricsWriter, RefusesAnExtraFieldWithTheNameOfAFixedOne) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 1);
  const StepRecord record = {.epoch = 1, .loss = 0.4, .lr = 0.1, .extra = {{"loss", 1.0}}};

  const std::string error = error_of([&] { metrics.write_step(record); });

  EXPECT_THAT(error, HasSubstr("'loss'"));
}

TEST(MetricsWriter, TextThatIsNotUtf8DoesNotCostTheLine) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 1);
  StartRecord start = kStart;
  start.extra = {{"data", "caf\xe9"}};

  metrics.write_start(start);

  EXPECT_EQ(lines_of(folder.path() / "metrics.rank0.jsonl").size(), 1U);
}

TEST(MetricsWriter, AKilledProcessKeepsItsLines) {
  TemporaryFolder folder;

  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    MetricsWriter metrics(folder.path(), 0, 1);
    metrics.write_start(kStart);
    for (int i = 0; i < 100; ++i) {
      metrics.write_step({.epoch = 1, .totals = {.step = i}, .loss = 0.5, .lr = 0.1});
    }
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);

  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(lines_of(folder.path() / "metrics.rank0.jsonl").size(), 101U);
}

TEST(MetricsWriter, RankZeroRemovesWhatAnEarlierRunLeft) {
  TemporaryFolder folder;
  for (const char* name :
       {"result.json", "result.json.tmp", "metrics.rank0.jsonl", "metrics.rank1.jsonl",
        "metrics.rank2.jsonl", "metrics.rank10.jsonl", "metrics.rankX.jsonl", "mine.txt"}) {
    write_file(folder.path() / name, "old\n");
  }

  const MetricsWriter metrics(folder.path(), 0, 2);

  std::set<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    left.insert(entry.path().filename());
  EXPECT_EQ(left, (std::set<std::string>{"metrics.rank0.jsonl", "metrics.rank1.jsonl",
                                         "metrics.rankX.jsonl", "mine.txt"}));
  EXPECT_EQ(read_file(folder.path() / "metrics.rank0.jsonl"), "");
}

TEST(MetricsWriter, WritesNothingIntoFilesOfAnotherRunThatAreLinkedHere) {
  TemporaryFolder other;
  TemporaryFolder folder;
  for (const std::string name : {"metrics.rank0.jsonl", "metrics.rank1.jsonl", "result.json"}) {
    std::ofstream(other.path() / name) << "of another run";
  }
  const auto link = [&](const std::string& name) {
    std::filesystem::create_symlink(other.path() / name, folder.path() / name);
  };
  link("metrics.rank0.jsonl");
  link("result.json");
  std::filesystem::create_hard_link(other.path() / "metrics.rank1.jsonl",
                                    folder.path() / "metrics.rank1.jsonl");
  MetricsWriter first(folder.path(), 0, 2);
  MetricsWriter second(folder.path(), 1, 2);
  first.write_start(kStart);
  second.write_start(kStart);

  for (const std::string name : {"metrics.rank0.jsonl", "metrics.rank1.jsonl", "result.json"}) {
    EXPECT_EQ(read_file(other.path() / name), "of another run") << name;
  }
  EXPECT_EQ(lines_of(folder.path() / "metrics.rank1.jsonl").size(), 1U);
}

TEST(MetricsWriter, AResumedRunGoesOnInACopyOfWhatIsLinkedHere) {
  TemporaryFolder other;
  TemporaryFolder folder;
  for (const Rank rank : {0, 1}) MetricsWriter(other.path(), rank, 2).write_start(kStart);
  std::filesystem::create_symlink(other.path() / "metrics.rank0.jsonl",
                                  folder.path() / "metrics.rank0.jsonl");
  std::filesystem::create_hard_link(other.path() / "metrics.rank1.jsonl",
                                    folder.path() / "metrics.rank1.jsonl");
  for (const Rank rank : {0, 1}) {
    MetricsWriter(folder.path(), rank, 2, LineFile::Start::kAfter)
        .write_resume({.totals = kTotals, .checkpoint = "step-20"});
  }

  for (const std::string name : {"metrics.rank0.jsonl", "metrics.rank1.jsonl"}) {
    EXPECT_EQ(lines_of(other.path() / name).size(), 1U) << name;
    EXPECT_EQ(lines_of(folder.path() / name).size(), 2U) << name;
  }
}

TEST(MetricsWriter, OtherRanksLeaveTheResultAlone) {
  TemporaryFolder folder;
  write_file(folder.path() / "result.json", "of rank 0");

  MetricsWriter metrics(folder.path(), 1, 2);
  const std::string error = error_of([&] { metrics.write_result({.start = kStart}); });

  EXPECT_EQ(read_file(folder.path() / "result.json"), "of rank 0");
  EXPECT_THAT(error, HasSubstr("rank 1"));
}

TEST(MetricsWriter, TheResultAppearsWholeAndLeavesNoTemporaryFile) {
  TemporaryFolder folder;
  MetricsWriter metrics(folder.path(), 0, 1);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "result.json"));

  metrics.write_result({.start = kStart, .status = Status::kDiverged, .totals = kTotals});

  EXPECT_EQ(Json::parse(read_file(folder.path() / "result.json"))["status"], "diverged");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "result.json.tmp"));
}

TEST(MetricsWriter, NamesTheFolderThatCannotBeMade) {
  TemporaryFolder folder;
  write_file(folder.path() / "file", "");

  const std::string beneath =
      error_of([&] { MetricsWriter(folder.path() / "file" / "runs", 0, 1); });
  const std::string itself = error_of([&] { MetricsWriter(folder.path() / "file", 0, 1); });

  EXPECT_THAT(beneath, HasSubstr((folder.path() / "file" / "runs").string()));
  EXPECT_THAT(beneath, HasSubstr("Not a directory"));
  EXPECT_THAT(itself, HasSubstr((folder.path() / "file").string()));
}

TEST(MetricsWriter, NamesTheFolderThatCannotBeWritten) {
  // Not even root can make a folder in /proc, nor write the file of a kernel setting that does not
  // exist.
  const std::string error = error_of([] { MetricsWriter("/proc/gossip", 0, 1); });

  EXPECT_THAT(error, HasSubstr("/proc/gossip"));
  EXPECT_THAT(error, HasSubstr("No such file or directory"));
}

TEST(MetricsWriter, NamesTheFileWhenTheDiskIsFull) {
  TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder.path() / "metrics.rank0.jsonl");
  MetricsWriter metrics(folder.path(), 0, 1);

  const std::string error = error_of([&] { metrics.write_start(kStart); });

  EXPECT_THAT(error, HasSubstr("metrics.rank0.jsonl"));
  EXPECT_THAT(error, HasSubstr("No space left on device"));
}

TEST(MetricsWriter, SaysThatTheFolderCannotBeRead) {
  TemporaryFolder folder;
  write_file(folder.path() / "metrics.rank3.jsonl", "of an earlier run");
  test::names_until_failure = 1;
  const std::string error = error_of([&] { MetricsWriter(folder.path(), 0, 1); });
  test::names_until_failure = -1;

  EXPECT_THAT(error, HasSubstr(folder.path().string()));
  EXPECT_THAT(error, HasSubstr("Input/output error"));
}

TEST(LineFile, ALineAfterOneThatFailedIsALineOfItsOwn) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "lines";
  LineFile file(path);
  file.append("whole\n");
  const auto append_within = [&](rlim_t bytes) {  // as on a disk that is full then
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit full = before;
    full.rlim_cur = bytes;
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    const std::string error = error_of([&] { file.append("in vain\n"); });
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    EXPECT_THAT(error, HasSubstr("File too large"));
  };

  append_within(6);  // nothing of it
  file.append("next\n");
  append_within(13);  // "in"
  append_within(13);  // nothing at all
  file.append("last\n");

  EXPECT_EQ(read_file(path), "whole\nnext\nin\nlast\n");
}

TEST(Status, HasTheWordsOfTheFiles) {
  EXPECT_EQ(to_string(Status::kRunning), "running");
  EXPECT_EQ(to_string(Status::kComplete), "complete");
  EXPECT_EQ(to_string(Status::kDiverged), "diverged");
  EXPECT_EQ(to_string(Status::kStopped), "stopped");
  EXPECT_EQ(to_string(Status::kFailed), "failed");
}

}  // namespace
}  // namespace gossip::train
