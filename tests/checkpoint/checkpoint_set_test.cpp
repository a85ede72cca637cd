// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/file.h>
#include <libgossip/checkpoint/checkpoint_set.h>

#include "support/expect_throw.h"
#include "support/temporary_folder.h"

namespace gossip::checkpoint {
namespace {

constexpr const char* kRun = "the-run";

class CheckpointSet : public testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path set(std::int64_t step = 7) const {
    return folder_.path() / set_name(step);
  }

  /// A set of two ranks with some values and tensors.
  void write_ranks(const std::string& run = kRun) const {
    for (Rank rank = 0; rank < 2; ++rank) {
      std::vector<TensorInfo> tensors{{.name = "weight", .dtype = "F32", .shape = {4, 100}},
                                      {.name = "sum", .dtype = "F64", .shape = {3}}};
      std::vector<std::byte> data(place(tensors));
      for (std::size_t i = 0; i < data.size(); ++i) {
        data[i] = static_cast<std::byte>(i * 7 + static_cast<std::size_t>(rank));
      }
      write_rank(set(),
                 {.run = run,
                  .step = 7,
                  .ranks = 2,
                  .rank = rank,
                  .steps = 7 + rank,
                  .weight = 0.1 + rank,
                  .values = values()},
                 tensors, data);
    }
  }

  void write_set() const {
    write_ranks();
    write_manifest(set(), kRun, 7, 2);
  }

  [[nodiscard]] static std::vector<NamedValue> values() {
    return {{"yes", true},
            {"count", std::int64_t{-3}},
            {"largest", std::numeric_limits<std::int64_t>::max()},
            {"whole", 2.0},
            {"tenth", 0.1},
            {"tiny", std::numeric_limits<double>::denorm_min()},
            {"minus", -0.0},
            {"infinite", -std::numeric_limits<double>::infinity()},
            {"none", std::numeric_limits<double>::quiet_NaN()},
            {"text", std::string("a \"b\" \n\u00e9")},
            {"latin-1", std::string("/data/caf\xe9")},
            {"caf\xe9", std::string("%bytes:caf%e9")}};
  }

  /// Reads all of the set, as a resume does.
  [[nodiscard]] std::vector<std::byte> read_all() const {
    const Manifest manifest = read_manifest(set());
    std::vector<std::byte> all;
    for (Rank rank = 0; rank < 2; ++rank) {
      const RankRecord record = read_record(set(), manifest, rank);
      std::vector<std::byte> memory(record.tensor_bytes);
      const SafetensorsContents contents = read_tensors(set(), record, memory);
      all.insert(all.end(), contents.data.begin(), contents.data.end());
    }
    return all;
  }

  [[nodiscard]] std::vector<std::filesystem::path> files() const {
    return {manifest_file(set()), record_file(set(), 0), record_file(set(), 1),
            tensor_file(set(), 0), tensor_file(set(), 1)};
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(CheckpointSet, IsReadAsItWasWritten) {
  write_set();
  const Manifest manifest = read_manifest(set());
  EXPECT_EQ(manifest.run, kRun);
  EXPECT_EQ(manifest.step, 7);
  ASSERT_EQ(manifest.ranks.size(), 2U);
  EXPECT_EQ(manifest.ranks[1].rank, 1);
  EXPECT_EQ(manifest.ranks[1].steps, 8);
  EXPECT_EQ(manifest.ranks[1].weight, 1.1);

  const RankRecord record = read_record(set(), manifest, 1);
  EXPECT_EQ(record.weight, 1.1);
  EXPECT_EQ(record.rank, 1);
  const std::vector<NamedValue> expected = values();
  ASSERT_EQ(record.values.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(record.values[i].name, expected[i].name);
    EXPECT_EQ(record.values[i].value.index(), expected[i].value.index()) << expected[i].name;
    const double* number = std::get_if<double>(&expected[i].value);
    if (number != nullptr && std::isnan(*number)) {
      EXPECT_TRUE(std::isnan(std::get<double>(record.values[i].value)));
    } else {
      EXPECT_EQ(record.values[i].value, expected[i].value) << expected[i].name;
    }
  }
  EXPECT_TRUE(std::signbit(std::get<double>(record.values[6].value)));

  std::vector<std::byte> memory(record.tensor_bytes);
  const SafetensorsContents contents = read_tensors(set(), record, memory);
  ASSERT_EQ(contents.tensors.size(), 2U);
  EXPECT_EQ(contents.tensors[0].name, "sum");  // its elements are the larger ones
  EXPECT_EQ(contents.data[10], static_cast<std::byte>(71));
}

TEST_F(CheckpointSet, IsCompleteOnlyWithTheManifest) {
  write_ranks();
  test::expect_throw<DamagedSet>([&] { static_cast<void>(read_manifest(set())); },
                                 {"manifest.json", "No such file"});
}

TEST_F(CheckpointSet, TheManifestWaitsForAllRanks) {
  write_ranks();
  std::filesystem::remove(record_file(set(), 1));
  test::expect_throw<Error>([&] { write_manifest(set(), kRun, 7, 2); },
                            {"rank 1", "all ranks share"});
  EXPECT_FALSE(std::filesystem::exists(manifest_file(set())));
}

TEST_F(CheckpointSet, TheManifestIsOfOneRun) {
  write_ranks("another");
  test::expect_throw<Error>([&] { write_manifest(set(), kRun, 7, 2); },
                            {"rank-0.json", "another run", "folder of its own"});
}

/// One bit at a time, all over each file.
TEST_F(CheckpointSet, AFlippedBitIsFound) {
  write_set();
  const std::vector<std::byte> before = read_all();
  for (const std::filesystem::path& path : files()) {
    const std::string whole = test::read_file(path);
    for (std::size_t at = 0; at < whole.size(); at += 1 + at / 37) {
      for (const int bit : {0, 3, 6}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
        test::write_file(path, damaged);
        try {
          EXPECT_EQ(read_all(), before) << path << " byte " << at << " bit " << bit;
          EXPECT_EQ(path, manifest_file(set())) << "byte " << at << " bit " << bit;
          EXPECT_TRUE(std::isspace(static_cast<unsigned char>(whole[at])) != 0)
              << path << " " << at;
        } catch (const DamagedSet& error) {
          EXPECT_THAT(error.what(), testing::HasSubstr(set().string()));
        }
      }
    }
    test::write_file(path, whole);
  }
  EXPECT_EQ(read_all(), before);
}

TEST_F(CheckpointSet, AFileThatWasCutOffOrGrewIsFound) {
  write_set();
  for (const std::filesystem::path& path : files()) {
    const std::string whole = test::read_file(path);
    const std::size_t size = whole.size();
    for (const std::size_t length :
         {std::size_t{0}, std::size_t{1}, std::size_t{8}, size / 2, size - 9, size - 2}) {
      test::write_file(path, whole.substr(0, length));
      test::expect_throw<DamagedSet>([&] { static_cast<void>(read_all()); }, {path.string()});
    }
    test::write_file(path, whole + "x");
    test::expect_throw<DamagedSet>([&] { static_cast<void>(read_all()); }, {path.string()});
    std::filesystem::remove(path);
    test::expect_throw<DamagedSet>([&] { static_cast<void>(read_all()); },
                                   {path.string(), "No such file"});
    test::write_file(path, whole);
  }
}

TEST_F(CheckpointSet, FilesOfAnotherSetAreFound) {
  write_set();
  std::filesystem::copy_file(tensor_file(set(), 0), tensor_file(set(), 1),
                             std::filesystem::copy_options::overwrite_existing);
  test::expect_throw<DamagedSet>([&] { static_cast<void>(read_all()); },
                                 {"rank-1.safetensors", "checksum"});
  std::filesystem::rename(set(), set(8));
  test::expect_throw<DamagedSet>([&] { static_cast<void>(read_manifest(set(8))); },
                                 {"step-8", "step 7", "renamed"});
}

TEST_F(CheckpointSet, ANewerFormatSaysWhatIsNeeded) {
  write_set();
  std::string text = test::read_file(manifest_file(set()));
  text.replace(text.find("\"format\": 1"), 11, "\"format\": 2");
  // As a newer version writes it: with the right checksum.
  const std::size_t at = text.find(",\n \"crc32\"");
  const std::string without = text.substr(0, at) + "\n}\n";
  const auto crc32 = crc32_of(std::as_bytes(std::span(without.data(), without.size())));
  test::write_file(manifest_file(set()),
                   text.substr(0, at) + fmt::format(",\n \"crc32\": {}\n}}\n", crc32));
  test::expect_throw<Error>([&] { static_cast<void>(read_manifest(set())); },
                            {"manifest.json", "format 2", "formats up to 1", "newer"});
}

TEST_F(CheckpointSet, MayHaveTensOfThousandsOfEntries) {
  constexpr int kEntries = 40'000;
  std::vector<TensorInfo> tensors;
  std::vector<NamedValue> values;
  for (int i = 0; i < kEntries; ++i) {
    tensors.push_back({.name = fmt::format("layer.{}.weight", i), .dtype = "F32", .shape = {1}});
    values.push_back({fmt::format("layer.{}.step", i), std::int64_t{i}});
  }
  const std::vector<std::byte> data(place(tensors));
  write_rank(set(), {.run = kRun, .step = 7, .values = values}, tensors, data);
  write_manifest(set(), kRun, 7, 1);
  const RankRecord record = read_record(set(), read_manifest(set()), 0);
  std::vector<std::byte> memory(record.tensor_bytes);
  EXPECT_EQ(read_tensors(set(), record, memory).tensors.size(), tensors.size());
  ASSERT_EQ(record.values.size(), values.size());
  EXPECT_EQ(record.values.back().name, values.back().name);
  EXPECT_EQ(record.values.back().value, values.back().value);
}

/// As on a full disk, which a test cannot make without being root.
TEST_F(CheckpointSet, AWriteThatFailsLeavesEarlierSetsAlone) {
  write_set();
  const std::vector<std::byte> before = read_all();
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{.rlim_cur = 1000, .rlim_max = limit.rlim_max};
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  std::vector<TensorInfo> tensors{{.name = "weight", .dtype = "F32", .shape = {1000}}};
  const std::vector<std::byte> data(place(tensors));
  test::expect_throw<Error>(
      [&] { write_rank(set(9), {.run = kRun, .step = 9, .ranks = 1}, tensors, data); },
      {"step-9", "rank-0.safetensors", "File too large"});
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, previous);
  EXPECT_FALSE(std::filesystem::exists(record_file(set(9), 0)));
  EXPECT_FALSE(std::filesystem::exists(tensor_file(set(9), 0)));
  EXPECT_TRUE(std::filesystem::is_empty(set(9))) << "what was written takes room";
  EXPECT_EQ(read_all(), before);
}

}  // namespace
}  // namespace gossip::checkpoint
