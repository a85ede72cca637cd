// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/algorithm/push_sum.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

using testing::HasSubstr;

/// A worker with a model of one element.
struct Worker {
  explicit Worker(double value) : model{value}, rule(view(model), view(excess)) {}
  static VectorView view(std::vector<double>& values) { return std::span<double>(values); }

  std::vector<double> model;
  std::vector<double> excess{7.0};
  PushSum rule;
};

template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(PushSum, SharesAreOfTheValueAtTheStartOfTheRound) {
  Worker worker(8.0);
  std::vector<double> half{0.0};
  std::vector<double> quarter{0.0};

  worker.rule.open();
  const double weight_of_half = worker.rule.send(0.5, Worker::view(half));
  const double weight_of_quarter = worker.rule.send(0.25, Worker::view(quarter));
  worker.rule.close();

  EXPECT_EQ(half[0], 4.0);
  EXPECT_EQ(quarter[0], 2.0);
  EXPECT_EQ(weight_of_half, 0.5);
  EXPECT_EQ(weight_of_quarter, 0.25);
  EXPECT_EQ(worker.rule.weight(), 0.25);
  EXPECT_EQ(worker.model[0], 8.0);  // 2 of weight 1/4
}

TEST(PushSum, OneMessageServesSeveralReceivers) {
  Worker worker(9.0);
  std::vector<double> third{0.0};

  worker.rule.open();
  const double weight = worker.rule.send(1.0 / 3.0, Worker::view(third), 2);
  worker.rule.absorb(Worker::view(third), weight);
  worker.rule.absorb(Worker::view(third), weight);
  worker.rule.close();

  EXPECT_NEAR(third[0], 3.0, 1e-15);
  EXPECT_NEAR(worker.rule.weight(), 1.0, 1e-15);
  EXPECT_NEAR(worker.model[0], 9.0, 1e-14);
}

TEST(PushSum, ALocalUpdateChangesTheNumeratorByAsMuch) {
  Worker worker(8.0);
  std::vector<double> message{0.0};
  worker.rule.open();
  const double weight = worker.rule.send(0.5, Worker::view(message));
  worker.rule.close();

  worker.model[0] += 1.0;  // u becomes 5 with weight 1/2
  worker.rule.open();
  worker.rule.absorb(Worker::view(message), weight);
  worker.rule.close();

  EXPECT_EQ(worker.rule.weight(), 1.0);
  EXPECT_EQ(worker.model[0], 9.0);
}

TEST(PushSum, AbsorbsBeforeItSends) {
  Worker worker(2.0);
  std::vector<double> arrived{6.0};
  std::vector<double> message{0.0};

  worker.rule.open();
  worker.rule.absorb(Worker::view(arrived), 1.0);
  const double weight = worker.rule.send(0.5, Worker::view(message));
  worker.rule.close();

  EXPECT_EQ(message[0], 4.0);
  EXPECT_EQ(weight, 1.0);
  EXPECT_EQ(worker.model[0], 4.0);
}

TEST(PushSum, AdvisesAgainstSendingBelowItsLeastWeight) {
  Worker worker(1.0);
  std::vector<double> message{0.0};
  worker.rule.open();

  EXPECT_TRUE(worker.rule.may_send());
  worker.rule.send(0.5, Worker::view(message));
  EXPECT_TRUE(worker.rule.may_send());
  worker.rule.send(0.25, Worker::view(message));
  EXPECT_FALSE(worker.rule.may_send());
  worker.rule.restore(0.75);
  EXPECT_TRUE(worker.rule.may_send());
}

TEST(PushSum, RefusesToSendMoreThanThereIs) {
  Worker worker(1.0);
  std::vector<double> message{0.0};
  worker.rule.open();
  worker.rule.send(0.75, Worker::view(message));

  EXPECT_THAT(error_of([&] { worker.rule.send(0.5, Worker::view(message)); }),
              HasSubstr("share of 0.5 to 1 receivers: 0.25"));
  EXPECT_THAT(error_of([&] { worker.rule.send(0.2, Worker::view(message), 2); }),
              HasSubstr("share of 0.2 to 2"));
  EXPECT_THAT(error_of([&] { worker.rule.send(0.0, Worker::view(message)); }),
              HasSubstr("share of 0 "));
}

TEST(PushSum, RefusesARoundThatLeavesNoWeight) {
  Worker worker(1.0);
  std::vector<double> message{0.0};
  worker.rule.open();
  worker.rule.send(1.0, Worker::view(message));

  EXPECT_THAT(error_of([&] { worker.rule.close(); }), HasSubstr("weight is 0"));
  EXPECT_THAT(error_of([&] { worker.rule.restore(-1.0); }), HasSubstr("-1"));
}

TEST(PushSum, RefusesVectorsThatDiffer) {
  std::vector<double> model{1.0, 2.0};
  std::vector<double> excess{0.0};
  EXPECT_THAT(error_of([&] { const PushSum rule(Worker::view(model), Worker::view(excess)); }),
              HasSubstr("2 elements"));
}

}  // namespace
}  // namespace gossip::algorithm
