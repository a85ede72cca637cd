// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <pty.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/train/progress.h>

namespace gossip::train {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

// A stream in memory, and a clock that stands still until it is moved.
class ProgressTest : public testing::Test {
 protected:
  ProgressTest() : stream_(open_memstream(&text_, &length_)) {}
  ~ProgressTest() override {
    std::fclose(stream_);
    std::free(text_);
  }

  ProgressOptions options(bool is_terminal) {
    return {.rank = 0,
            .epochs = 8,
            .steps_per_epoch = 100,
            .first_step = 0,
            .images_per_step = 1000,
            .stream = stream_,
            .is_terminal = is_terminal,
            .now = [this] { return now_; }};
  }

  std::string text() {
    std::fflush(stream_);
    return {text_, length_};
  }

  static ProgressState state(std::int64_t step) {
    return {.epoch = step / 100 + 1, .step = step, .loss = 0.31234, .consensus_distance = 0.00123};
  }

  Clock::time_point now_ = Clock::now();

 private:
  char* text_ = nullptr;
  std::size_t length_ = 0;
  std::FILE* stream_;
};

TEST_F(ProgressTest, ShowsEpochStepRateLossConsensusAndRemainingTime) {
  ProgressLine progress(options(false));

  now_ += 20s;
  progress.update(state(200));

  EXPECT_EQ(text(),
            "epoch 3/8  step 200/800  10.0k images/s  loss 0.3123  consensus 1.23e-03  left "
            "1:00\n");
}

TEST_F(ProgressTest, RewritesOneLineOnATerminal) {
  ProgressLine progress(options(true));

  progress.update(state(1));
  now_ += 1s;
  progress.update(state(2));
  progress.finish();
  progress.finish();

  const std::string all = text();
  EXPECT_EQ(std::count(all.begin(), all.end(), '\r'), 2);
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 1);
  EXPECT_TRUE(all.ends_with("\n"));
  EXPECT_THAT(all, HasSubstr("\x1b[K"));
}

TEST_F(ProgressTest, WritesPlainLinesElsewhere) {
  ProgressLine progress(options(false));

  progress.update(state(1));
  now_ += 10s;
  progress.update(state(2));
  progress.finish();

  EXPECT_THAT(text(), Not(HasSubstr("\r")));
  EXPECT_THAT(text(), Not(HasSubstr("\x1b")));
  const std::string all = text();
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 2);
}

TEST_F(ProgressTest, IsQuietForTheLongestInterval) {
  ProgressOptions quiet = options(false);
  quiet.plain_interval = std::chrono::milliseconds::max();
  ProgressLine progress(quiet);

  progress.update(state(1));
  now_ += 1h;

  EXPECT_FALSE(progress.is_due());
}

TEST_F(ProgressTest, IsQuietUntilTheIntervalHasPassed) {
  ProgressLine progress(options(false));

  progress.update(state(1));
  now_ += 4s;
  EXPECT_FALSE(progress.is_due());
  progress.update(state(2));
  now_ += 1s;
  EXPECT_TRUE(progress.is_due());
  progress.update(state(3));

  EXPECT_THAT(text(), HasSubstr("step 1/800"));
  EXPECT_THAT(text(), Not(HasSubstr("step 2/800")));
  EXPECT_THAT(text(), HasSubstr("step 3/800"));
}

TEST_F(ProgressTest, PrintsWholeLinesAboveTheProgressLine) {
  ProgressLine progress(options(true));

  progress.update(state(100));
  progress.print("epoch 1: accuracy 0.85");
  now_ += 1s;
  progress.update(state(101));
  progress.finish();

  EXPECT_THAT(text(), HasSubstr("\r\x1b[Kepoch 1: accuracy 0.85\n\repoch 2/8"));
}

TEST_F(ProgressTest, OtherRanksPrintNothing) {
  ProgressOptions of_rank_1 = options(true);
  of_rank_1.rank = 1;
  ProgressLine progress(of_rank_1);

  EXPECT_FALSE(progress.is_due());
  progress.update(state(1));
  progress.print("line");
  progress.finish();

  EXPECT_EQ(text(), "");
}

TEST_F(ProgressTest, EndsTheLineWhenItIsDestroyed) {
  {
    ProgressLine progress(options(true));
    progress.update(state(1));
  }

  EXPECT_TRUE(text().ends_with("\n"));
}

TEST_F(ProgressTest, CountsRemainingTimeFromTheFirstStepOfAResumedRun) {
  ProgressOptions resumed = options(false);
  resumed.first_step = 400;
  ProgressLine progress(resumed);

  now_ += 100s;
  progress.update(state(500));

  EXPECT_THAT(text(), HasSubstr("left 5:00"));
}

TEST_F(ProgressTest, CountsNoTimeThatWasNoTraining) {
  ProgressLine progress(options(false));

  now_ += 20s;
  progress.update(state(100));
  now_ += 1000s;
  progress.leave_out(1000s);
  now_ += 2s;  // the first step after an evaluation waits for other ranks
  progress.update(state(101));
  now_ += 18s;
  progress.update(state(200));

  EXPECT_THAT(text(), HasSubstr("step 100/800  5000 images/s"));
  EXPECT_THAT(text(), HasSubstr("left 2:20\n"));
  EXPECT_THAT(text(), HasSubstr("step 101/800  4591 images/s"));
  EXPECT_THAT(text(), HasSubstr("left 2:32\n"));
  EXPECT_THAT(text(), HasSubstr("step 200/800  5000 images/s"));
  EXPECT_THAT(text(), HasSubstr("left 2:00\n"));
}

TEST_F(ProgressTest, SaysNothingOfWhatIsNotKnown) {
  ProgressLine progress(options(false));
  ProgressState unknown = state(0);
  unknown.consensus_distance.reset();

  progress.update(unknown);

  EXPECT_THAT(text(), Not(HasSubstr("consensus")));
  EXPECT_THAT(text(), Not(HasSubstr("left")));
  EXPECT_THAT(text(), Not(HasSubstr("images/s")));
}

TEST_F(ProgressTest, WritesLargeNumbersShort) {
  ProgressOptions fast = options(false);
  fast.images_per_step = 21'111'102;
  ProgressLine progress(fast);

  now_ += 9s;
  progress.update(state(1));

  EXPECT_THAT(text(), HasSubstr("2.35M images/s"));
  EXPECT_THAT(text(), HasSubstr("left 1:59:51"));
}

TEST(ProgressLine, FindsOutWhetherTheStreamIsATerminalAndFitsItsWidth) {
  int controller = -1;
  int terminal = -1;
  winsize size{};
  size.ws_col = 30;
  ASSERT_EQ(openpty(&controller, &terminal, nullptr, nullptr, &size), 0);
  std::FILE* stream = fdopen(terminal, "w");
  ASSERT_EQ(setenv("TERM", "xterm", 1), 0);
  {
    ProgressLine progress({.rank = 0, .epochs = 8, .steps_per_epoch = 100, .stream = stream});
    progress.update({.epoch = 1, .step = 0, .loss = 1});
  }

  char buffer[256];
  const ssize_t length = read(controller, buffer, sizeof(buffer));
  std::fclose(stream);
  close(controller);
  ASSERT_GT(length, 0);
  const std::string seen(buffer, static_cast<std::size_t>(length));
  EXPECT_EQ(seen, "\repoch 1/8  step 0/800  loss 1\x1b[K\r\n");
}

}  // namespace
}  // namespace gossip::train
