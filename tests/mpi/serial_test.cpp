// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdlib>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/serial.h>

namespace gossip::mpi {
namespace {

using namespace std::chrono_literals;

class SerialTest : public testing::Test {
 protected:
  void SetUp() override { Serial::set_patience(300ms); }
  void TearDown() override { Serial::set_patience(patience_); }

 private:
  std::chrono::milliseconds patience_ = Serial::patience();
};

/// A thread that is inside a call of MPI for as long as this lives.
class Call {
 public:
  explicit Call(bool is_brief) {
    std::promise<void> has_begun;
    thread_ = std::jthread([&, is_brief](const std::stop_token& stop) {
      if (is_brief) Serial::make_brief_calls();
      const Serial serial;
      const Serial nested;
      has_begun.set_value();
      while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
    });
    has_begun.get_future().wait();
  }

 private:
  std::jthread thread_;
};

TEST_F(SerialTest, MayBeNested) {
  const Serial serial;
  const Serial nested;
}

TEST_F(SerialTest, GivesABriefCallUpThatDoesNotReturn) {
  const Call call(true);

  EXPECT_THROW(Serial(), TimeoutError);
  EXPECT_THROW(Serial(), TimeoutError);
}

TEST_F(SerialTest, IsFreeAfterACallThatWasGivenUp) {
  {
    const Call call(true);
    EXPECT_THROW(Serial(), TimeoutError);
  }

  EXPECT_NO_THROW(Serial());
}

TEST_F(SerialTest, WaitsForAnyOtherCall) {
  std::optional<Call> call(std::in_place, false);
  const std::jthread end([&] {
    std::this_thread::sleep_for(3 * Serial::patience());
    call.reset();
  });

  EXPECT_NO_THROW(Serial());
}

TEST_F(SerialTest, LocksWhatIsFree) {
  std::timed_mutex mutex;

  EXPECT_TRUE(Serial::lock(mutex).owns_lock());
}

using SerialDeathTest = SerialTest;

TEST_F(SerialDeathTest, EndsTheProcessWhereALockIsLostWithACall) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto wait = [] {
    std::timed_mutex mutex;
    std::jthread([&] { mutex.lock(); }).join();
    const Call call(true);
    static_cast<void>(Serial::lock(mutex));
  };

  EXPECT_EXIT(wait(), testing::ExitedWithCode(EXIT_FAILURE), "MPI has not returned for 0.3 s");
}

}  // namespace
}  // namespace gossip::mpi
