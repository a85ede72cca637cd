// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/runtime/cores.h>

#include "support/temporary_folder.h"

namespace gossip::runtime {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

/// A folder like /sys/fs/cgroup, which goes with the test.
class Quotas : public testing::Test {
 protected:
  void write(const fs::path& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }

  [[nodiscard]] std::vector<double> limits(const std::string& groups) const {
    std::vector<double> result;
    for (const CpuQuota& quota : cpu_quotas(groups, root_)) result.push_back(quota.cores);
    return result;
  }

  const test::TemporaryFolder folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(Quotas, AreThoseOfTheGroupAndOfAllAroundIt) {
  write("a/b/cpu.max", "150000 100000\n");
  write("a/cpu.max", "max 100000\n");
  write("cpu.max", "400000 100000\n");
  EXPECT_THAT(limits("0::/a/b\n"), ElementsAre(1.5, 4.0));
  EXPECT_THAT(limits("0::/a\n"), ElementsAre(4.0));
}

TEST_F(Quotas, AreReadInBothVersions) {
  write("cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n");
  write("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  write("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  write("unified/cpu.max", "200000 100000\n");
  EXPECT_THAT(limits("11:memory:/job\n4:cpu,cpuacct:/job\n0::/\n"), ElementsAre(0.5, 2.0));
}

TEST_F(Quotas, AreThoseOfTheMountWhereTheGroupLiesOutsideOfTheContainer) {
  write("cpu/cpu.cfs_quota_us", "100000\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_THAT(limits("2:cpuset:/docker/17\n1:cpu:/docker/17\n"), ElementsAre(1.0));
}

TEST_F(Quotas, AreNoneWhereNothingCanBeRead) {
  write("a/cpu.max", "many 100000\n");
  write("b/cpu.max", "100000\n");
  write("c/cpu.max", "");
  for (const char* groups : {"", "no line\n", "0::/a\n", "0::/b\n", "0::/c\n", "0::/none\n"}) {
    EXPECT_THAT(limits(groups), testing::IsEmpty()) << groups;
  }
}

TEST(UsableCores, AreFoundOnHostsWithMoreThanThousand) {
  // A kernel that wants a mask of at least 512 bytes, for 4096 cores, of which two may be used.
  const auto get = [](std::size_t bytes, void* mask) {
    if (bytes < 512) {
      errno = EINVAL;
      return -1;
    }
    const unsigned char last = 0x81;
    std::memcpy(static_cast<unsigned char*>(mask) + 511, &last, 1);
    return 0;
  };
  const std::string cores = usable_cores(get);
  EXPECT_EQ(cores.size(), 4096U);
  EXPECT_EQ(cores.find('1'), 4088U);
  EXPECT_EQ(std::count(cores.begin(), cores.end(), '1'), 2);
}

TEST(UsableCores, AreNoneWhereTheSystemDoesNotSayThem) {
  EXPECT_EQ(usable_cores([](std::size_t, void*) {
              errno = EPERM;
              return -1;
            }),
            "");
  EXPECT_EQ(usable_cores([](std::size_t, void*) {
              errno = EINVAL;
              return -1;
            }),
            "");
  EXPECT_THAT(usable_cores(), testing::HasSubstr("1"));
}

TEST(ShareOfCores, IsOfTheCoresThatEachMayUse) {
  EXPECT_EQ(share_of_cores({{"1111"}}, 0), 4);
  EXPECT_EQ(share_of_cores({{"1111"}, {"1111"}}, 1), 2);
  EXPECT_EQ(share_of_cores({{"1100"}, {"0011"}}, 1), 2);
  EXPECT_EQ(share_of_cores({{"111"}, {"0011111"}}, 1), 4);  // half of one, and four alone
  EXPECT_EQ(share_of_cores({{"1"}, {"1"}, {"1"}}, 2), 1);
  EXPECT_EQ(share_of_cores({{""}}, 0), 1);
}

TEST(ShareOfCores, StaysWithinTheQuotaThatRanksShare) {
  const Cores in_a{"11111111", {{"a", 4.0}}};
  const Cores in_b{"11111111", {{"b", 2.5}, {"around", 100.0}}};
  EXPECT_EQ(share_of_cores({in_a}, 0), 4);
  EXPECT_EQ(share_of_cores({in_a, in_a}, 0), 2);
  EXPECT_EQ(share_of_cores({in_a, in_b}, 0), 4);
  EXPECT_EQ(share_of_cores({in_a, in_b}, 1), 2);
  EXPECT_EQ(share_of_cores({{"11", {{"a", 1.0}}}}, 0), 1);
  EXPECT_EQ(share_of_cores({{"11", {{"a", 0.1}}}}, 0), 1);
}

TEST(Cores, AreReadAsTheyWereWritten) {
  for (const Cores& cores : {Cores{"0110"}, Cores{""}, Cores{"1", {{"3:17", 0.5}, {"3:1", 4.0}}},
                             Cores{"", {{"3:17", 0.1}}}}) {
    const Cores read = cores_of_text(to_text(cores));
    EXPECT_EQ(read.usable, cores.usable);
    ASSERT_EQ(read.quotas.size(), cores.quotas.size());
    for (std::size_t i = 0; i < read.quotas.size(); ++i) {
      EXPECT_EQ(read.quotas[i].group, cores.quotas[i].group);
      EXPECT_EQ(read.quotas[i].cores, cores.quotas[i].cores);
    }
  }
}

TEST(RequestedThreads, AreReadAsOpenMpDoes) {
  EXPECT_EQ(requested_threads("4"), 4);
  EXPECT_EQ(requested_threads(" 2"), 2);
  EXPECT_EQ(requested_threads("3 "), 3);
  EXPECT_EQ(requested_threads("2,1"), 2);
  EXPECT_EQ(requested_threads("16, 4 ,2"), 16);
}

TEST(RequestedThreads, AreRefusedWhereAnyPartOfTheTextIsNoNumberOfThem) {
  for (const char* text : {"4x", "many", "0", "-2", " ", "2,", ",2", "2,x", "2;1", "2 1", "1.5",
                           "65537", "18446744073709551617"}) {
    EXPECT_THAT([&] { static_cast<void>(requested_threads(text)); },
                testing::ThrowsMessage<Error>(testing::AllOf(
                    testing::HasSubstr(std::string("OMP_NUM_THREADS is '") + text + "'"),
                    testing::HasSubstr("a whole number between 1 and 65536"))))
        << text;
  }
}

}  // namespace
}  // namespace gossip::runtime
