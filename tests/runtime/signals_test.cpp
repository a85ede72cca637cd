// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <optional>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/runtime/signals.h>

namespace gossip {
namespace {

int handled = 0;

extern "C" void note(int signal) { handled = signal; }

/// What the process does about a signal while it lives.
class Handler {
 public:
  explicit Handler(int signal) : signal_(signal) {
    struct sigaction action {};
    action.sa_handler = note;
    sigaction(signal, &action, &before_);
    handled = 0;
  }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() { sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_ {};
};

TEST(StopSignals, NoteWhichSignalCame) {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) {
    const StopSignals signals;
    EXPECT_EQ(StopSignals::received(), 0);
    raise(signal);
    EXPECT_EQ(StopSignals::received(), signal);
  }
}

TEST(StopSignals, PutBackWhatWasDoneBefore) {
  const Handler handler(SIGUSR1);
  {
    const StopSignals signals;
    raise(SIGUSR1);
    EXPECT_EQ(handled, 0);
    EXPECT_EQ(StopSignals::received(), SIGUSR1);
  }
  EXPECT_EQ(handled, 0);
  raise(SIGUSR1);
  EXPECT_EQ(handled, SIGUSR1);
}

TEST(StopSignals, TheLastOneToGoPutsBack) {
  const Handler handler(SIGTERM);
  std::optional<StopSignals> first(std::in_place);
  std::optional<StopSignals> second(std::in_place);
  first.reset();
  raise(SIGTERM);
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(StopSignals::received(), SIGTERM);
  second.reset();
  raise(SIGTERM);
  EXPECT_EQ(handled, SIGTERM);
}

/// As a program does that finds that it does not want them after all.
TEST(StopSignals, CanBePassedOn) {
  const Handler handler(SIGUSR2);
  {
    const StopSignals signals;
    raise(SIGUSR2);
  }
  EXPECT_EQ(handled, 0);
  StopSignals::pass_on();
  EXPECT_EQ(handled, SIGUSR2);
  handled = 0;
  StopSignals::pass_on();
  EXPECT_EQ(handled, 0);
}

TEST(StopSignals, HaveNames) {
  EXPECT_EQ(signal_name(SIGUSR1), "SIGUSR1");
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(SIGINT), "signal 2");
}

}  // namespace
}  // namespace gossip
