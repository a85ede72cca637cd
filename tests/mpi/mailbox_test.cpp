// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/mailbox.h>

namespace gossip::mpi {
namespace {

constexpr std::chrono::seconds kLong{30};

class MailboxTest : public testing::Test {
 protected:
  [[nodiscard]] const Communicator& world() const { return mailbox_.communicator(); }

  static Mailbox::Record record(std::uint64_t value) {
    Mailbox::Record bytes{};
    std::memcpy(bytes.data(), &value, sizeof(value));
    std::memcpy(bytes.data() + Mailbox::kBytes - sizeof(value), &value, sizeof(value));
    return bytes;
  }
  static std::uint64_t value_of(const Mailbox::Record& bytes) {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::memcpy(&first, bytes.data(), sizeof(first));
    std::memcpy(&last, bytes.data() + Mailbox::kBytes - sizeof(last), sizeof(last));
    EXPECT_EQ(first, last);
    return first;
  }

  Mailbox mailbox_{Communicator::duplicate(MPI_COMM_WORLD)};
};

TEST_F(MailboxTest, IsEmptyAtFirst) {
  EXPECT_FALSE(mailbox_.receive());
  EXPECT_FALSE(mailbox_.progress());
  world().barrier();
}

TEST_F(MailboxTest, RecordsOfEverySenderArriveOnceAndInOrder) {
  // More than there are receives posted, from all to all, the own rank included.
  constexpr std::uint64_t kRecords = 300;
  const auto size = static_cast<std::size_t>(world().size());
  std::vector<std::uint64_t> next(size, 0);
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  int wrong = 0;

  const bool is_done = wait_until(Deadline(kLong), [&] {
    for (int burst = 0; burst < 50 && sent < kRecords; ++burst, ++sent) {
      for (Rank to = 0; to < world().size(); ++to) mailbox_.send(record(sent), to);
    }
    while (const auto mail = mailbox_.receive()) {
      wrong += value_of(mail->second) != next[static_cast<std::size_t>(mail->first)]++ ? 1 : 0;
      ++received;
    }
    return !mailbox_.progress() && sent == kRecords && received == kRecords * size;
  });

  EXPECT_TRUE(is_done) << received;
  EXPECT_EQ(wrong, 0);
  world().barrier();
  EXPECT_FALSE(mailbox_.receive());
  world().barrier();
}

TEST_F(MailboxTest, FinishTakesWhatIsStillUnderWay) {
  for (int k = 0; k < 100; ++k) {
    for (Rank to = 0; to < world().size(); ++to) {
      if (to != world().rank()) mailbox_.send(record(static_cast<std::uint64_t>(k)), to);
    }
  }

  EXPECT_NO_THROW(mailbox_.finish(kLong));

  EXPECT_FALSE(mailbox_.receive());
  EXPECT_FALSE(mailbox_.progress());
  world().barrier();
}

TEST_F(MailboxTest, FinishWithoutAnyRecordReturnsAtOnce) {
  EXPECT_NO_THROW(mailbox_.finish(kLong));
  EXPECT_NO_THROW(mailbox_.finish(std::chrono::milliseconds(0)));
  world().barrier();
}

TEST_F(MailboxTest, MailboxesDoNotMixTheirRecords) {
  Mailbox other(Communicator::duplicate(MPI_COMM_WORLD));
  const Rank right = (world().rank() + 1) % world().size();
  mailbox_.send(record(1), right);
  other.send(record(2), right);
  std::uint64_t first = 0;
  std::uint64_t second = 0;

  const bool is_done = wait_until(Deadline(kLong), [&] {
    if (const auto mail = mailbox_.receive()) first = value_of(mail->second);
    if (const auto mail = other.receive()) second = value_of(mail->second);
    return first != 0 && second != 0;
  });

  EXPECT_TRUE(is_done);
  EXPECT_EQ(first, 1U);
  EXPECT_EQ(second, 2U);
  world().barrier();
}

int count_free(MPI_Comm /*communicator*/, int /*key*/, void* count, void* /*state*/) {
  ++*static_cast<int*>(count);
  return MPI_SUCCESS;
}

TEST_F(MailboxTest, ARecordThatNobodyTookKeepsItsCommunicatorFromBeingFreed) {
  static int freed = 0;
  int key = 0;
  MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, count_free, &key, nullptr);
  for (const bool is_taken : {true, false}) {
    freed = 0;
    {
      Mailbox ending(Communicator::duplicate(MPI_COMM_WORLD));
      MPI_Comm_set_attr(ending.communicator().get(), key, &freed);
      if (world().rank() == 0) {
        ending.send(record(4), 1);
        EXPECT_TRUE(wait_until(Deadline(kLong), [&] { return !ending.progress(); }));
      }
      const auto has_come = [&] {
        int flag = 0;
        MPI_Iprobe(0, MPI_ANY_TAG, ending.communicator().get(), &flag, MPI_STATUS_IGNORE);
        return flag != 0;
      };
      if (world().rank() == 1) {
        EXPECT_TRUE(wait_until(Deadline(kLong), has_come));
        EXPECT_TRUE(!is_taken || ending.receive());
      }
      ending.note_finished();
    }
    EXPECT_EQ(freed, world().rank() != 1 || is_taken ? 1 : 0);
  }
  MPI_Comm_free_keyval(&key);
}

TEST_F(MailboxTest, EndsWithRecordsUnderWay) {
  for (int k = 0; k < 20; ++k) {
    Mailbox ending(Communicator::duplicate(MPI_COMM_WORLD));
    ending.send(record(3), (world().rank() + 1) % world().size());
  }
  world().barrier();

  // Later communicators do not get what was meant for those.
  for (int k = 0; k < 20; ++k) {
    Mailbox later(Communicator::duplicate(MPI_COMM_WORLD));
    EXPECT_FALSE(later.receive());
    later.communicator().barrier();
    EXPECT_NO_THROW(later.finish(kLong));
  }
}

TEST_F(MailboxTest, FinishSaysAfterTenSecondsForHowMuchItWaits) {
  mailbox_.send(record(5), world().rank());
  Mailbox::Record taken{};  // past the mailbox, which waits for it
  MPI_Recv(taken.data(), static_cast<int>(taken.size()), MPI_BYTE, world().rank(), MPI_ANY_TAG,
           world().get(), MPI_STATUS_IGNORE);
  EXPECT_EQ(value_of(taken), 5U);

  testing::internal::CaptureStderr();
  {
    const std::jthread time([] {
      for (int second = 0; second < 30; ++second) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        RunningClock::skip(std::chrono::seconds(1));
      }
    });
    EXPECT_THROW(mailbox_.finish(std::chrono::seconds(15)), TimeoutError);
  }
  const std::string said = testing::internal::GetCapturedStderr();

  EXPECT_NE(said.find("waiting for the last 1 of 1 records to come (1"), std::string::npos) << said;
  world().barrier();
}

}  // namespace
}  // namespace gossip::mpi
