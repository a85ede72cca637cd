// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include <gtest/gtest.h>

#include <libgossip/base/log.h>

namespace gossip {
namespace {

/// The level is read once a process: each test looks at a process of its own, which logs all
/// levels on two ranks.
[[noreturn]] void log_everything(const char* level) {
  if (level == nullptr) {
    unsetenv("GOSSIP_LOG");
  } else {
    setenv("GOSSIP_LOG", level, 1);
  }
  for (const Rank rank : {0, 1}) {
    log(LogLevel::kDebug, rank, "d{}", rank);
    log(LogLevel::kInfo, rank, "i{}", rank);
    log(LogLevel::kWarning, rank, "w{}", rank);
    log(LogLevel::kError, rank, "e{}", rank);
  }
  std::_Exit(0);
}

struct Expected {
  const char* level;
  const char* output;  // the whole of it, as a regular expression
};

class LogDeathTest : public testing::TestWithParam<Expected> {};

TEST_P(LogDeathTest, ShowsTheLevelsThatTheEnvironmentAsksFor) {
  EXPECT_EXIT(log_everything(GetParam().level), testing::ExitedWithCode(0), GetParam().output);
}

INSTANTIATE_TEST_SUITE_P(
    Levels, LogDeathTest,
    testing::Values(Expected{nullptr,
                             "^gossip.0.: i0\ngossip.0.: warning: w0\ngossip.0.: error: e0\n"
                             "gossip.1.: warning: w1\ngossip.1.: error: e1\n$"},
                    Expected{"info",
                             "^gossip.0.: i0\ngossip.0.: warning: w0\ngossip.0.: error: e0\n"
                             "gossip.1.: warning: w1\ngossip.1.: error: e1\n$"},
                    Expected{"warning",
                             "^gossip.0.: warning: w0\ngossip.0.: error: e0\n"
                             "gossip.1.: warning: w1\ngossip.1.: error: e1\n$"},
                    Expected{"error", "^gossip.0.: error: e0\ngossip.1.: error: e1\n$"},
                    Expected{"debug",
                             "^gossip.0.: d0\ngossip.0.: i0\ngossip.0.: warning: w0\n"
                             "gossip.0.: error: e0\ngossip.1.: d1\ngossip.1.: i1\n"
                             "gossip.1.: warning: w1\ngossip.1.: error: e1\n$"}),
    [](const testing::TestParamInfo<Expected>& param) {
      return std::string(param.param.level == nullptr ? "unset" : param.param.level);
    });

}  // namespace
}  // namespace gossip
