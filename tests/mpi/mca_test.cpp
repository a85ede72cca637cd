// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/mpi/mca.h>

#include "support/temporary_folder.h"

namespace gossip::mpi {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;

class McaTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const McaParameter& known : mca_defaults()) unsetenv(variable(known.name).c_str());
  }
  void TearDown() override { SetUp(); }

  static std::string variable(const std::string& name) { return "OMPI_MCA_" + name; }
  static std::string value(const std::string& name) {
    const char* text = std::getenv(variable(name).c_str());
    return text == nullptr ? "not set" : text;
  }
  std::string file(const std::string& text) {
    const std::string path = folder_.path() / "mca-params.conf";
    std::ofstream(path) << text;
    return path;
  }

  test::TemporaryFolder folder_;
};

TEST_F(McaTest, ReadsTheNamesOfAFile) {
  EXPECT_THAT(names_in_mca_file(file("# btl_tcp_eager_limit = 1\n"
                                     "osc = ^ucx,pt2pt\n"
                                     "\n"
                                     "  btl_tcp_links=2  # two = more\n"
                                     "a line that means nothing\n"
                                     "= 5\n"
                                     "\tmpi_add_procs_cutoff\t=\t0\r\n"
                                     "async_mpi_finalize =")),
              ElementsAre("osc", "btl_tcp_links", "mpi_add_procs_cutoff", "async_mpi_finalize"));
}

TEST_F(McaTest, AFileThatIsNotThereSetsNothing) {
  EXPECT_THAT(names_in_mca_file(folder_.path() / "nothing.conf"), IsEmpty());
  EXPECT_THAT(names_in_mca_file(folder_.path()), IsEmpty());
  EXPECT_THAT(names_in_mca_file(file("")), IsEmpty());
}

TEST_F(McaTest, SetsWhatNobodyElseSets) {
  EXPECT_THAT(set_mca_defaults({}),
              ElementsAre("btl_tcp_eager_limit", "mpi_add_procs_cutoff", "async_mpi_finalize"));

  EXPECT_EQ(value("btl_tcp_eager_limit"), "1056768");
  EXPECT_EQ(value("mpi_add_procs_cutoff"), "100000");
  EXPECT_EQ(value("async_mpi_finalize"), "1");
  EXPECT_THAT(set_mca_defaults({}), IsEmpty()) << "they are set already";
}

TEST_F(McaTest, LeavesWhatTheEnvironmentSets) {
  setenv("OMPI_MCA_btl_tcp_eager_limit", "65536", 1);
  setenv("OMPI_MCA_async_mpi_finalize", "", 1);

  EXPECT_THAT(set_mca_defaults({}), ElementsAre("mpi_add_procs_cutoff"));

  EXPECT_EQ(value("btl_tcp_eager_limit"), "65536");
  EXPECT_EQ(value("async_mpi_finalize"), "");
}

TEST_F(McaTest, LeavesWhatAFileSets) {
  const std::string path = file("mpi_add_procs_cutoff = 0\n");

  EXPECT_THAT(set_mca_defaults({folder_.path() / "nothing.conf", path}),
              ElementsAre("btl_tcp_eager_limit", "async_mpi_finalize"));

  EXPECT_EQ(value("mpi_add_procs_cutoff"), "not set");
}

TEST_F(McaTest, TheEagerLimitFitsAPieceAndItsHeader) {
  EXPECT_EQ(std::string(mca_defaults()[0].name), "btl_tcp_eager_limit");
  EXPECT_EQ(std::stoul(mca_defaults()[0].value), (1U << 20U) + 8192U);
}

TEST_F(McaTest, LooksForFilesOfTheUserAndOfTheSite) {
  const std::vector<std::string> files = mca_files();

  EXPECT_THAT(files, Contains(EndsWith("/.openmpi/mca-params.conf")));
  EXPECT_THAT(files, Contains("/etc/openmpi/openmpi-mca-params.conf"));
  EXPECT_THAT(files, Contains(EndsWith("/etc/openmpi-mca-params.conf")));
  setenv("OPAL_PREFIX", "/elsewhere", 1);
  EXPECT_THAT(mca_files(), Contains("/elsewhere/etc/openmpi-mca-params.conf"));
  unsetenv("OPAL_PREFIX");
}

}  // namespace
}  // namespace gossip::mpi
