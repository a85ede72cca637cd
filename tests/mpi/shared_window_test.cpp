// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/shared_window.h>

namespace gossip::mpi {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();

class SharedWindowTest : public testing::Test {
 protected:
  /// The message with which the window is refused on this rank; empty when it is not.
  std::string refusal(std::size_t bytes) const {
    try {
      const SharedWindow window(host_, bytes);
    } catch (const JointError& error) {
      return error.what();
    }
    return {};
  }

  const Communicator host_ = Communicator::duplicate(MPI_COMM_WORLD);
  const Rank rank_ = host_.rank();
  const int size_ = host_.size();
};

std::byte pattern(Rank rank, std::size_t k) {
  return static_cast<std::byte>(k * 13 + static_cast<std::size_t>(rank) * 101 + 1);
}

TEST_F(SharedWindowTest, PartsHaveTheirSizesAndAreAligned) {
  const auto bytes_of = [](Rank rank) { return static_cast<std::size_t>(rank) * 1001; };

  const SharedWindow window(host_, bytes_of(rank_));

  for (Rank rank = 0; rank < size_; ++rank) {
    EXPECT_EQ(window.of(rank).size(), bytes_of(rank)) << rank;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(window.of(rank).data()) % 64, 0U) << rank;
  }
}

TEST_F(SharedWindowTest, PartsDoNotOverlap) {
  const SharedWindow window(host_, 777);

  for (Rank a = 0; a < size_; ++a) {
    for (Rank b = 0; b < a; ++b) {
      const std::span<std::byte> first = window.of(a);
      const std::span<std::byte> second = window.of(b);
      EXPECT_TRUE(first.data() >= second.data() + second.size() ||
                  second.data() >= first.data() + first.size());
    }
  }
}

TEST_F(SharedWindowTest, StoresOfOneAreSeenByAll) {
  for (const std::size_t bytes : {1U, 63U, 64U, 65U, 4096U, 100003U}) {
    const SharedWindow window(host_, bytes);
    const std::span<std::byte> own = window.of(rank_);
    for (std::size_t k = 0; k < bytes; ++k) own[k] = pattern(rank_, k);

    host_.barrier();
    for (Rank rank = 0; rank < size_; ++rank) {
      std::size_t wrong = 0;
      for (std::size_t k = 0; k < bytes; ++k) {
        wrong += window.of(rank)[k] != pattern(rank, k) ? 1U : 0U;
      }
      EXPECT_EQ(wrong, 0U) << bytes << " bytes of rank " << rank;
    }
    host_.barrier();

    // And into another's part.
    const Rank right = (rank_ + 1) % size_;
    window.of(right)[bytes - 1] = pattern(rank_, 999);
    host_.barrier();
    EXPECT_EQ(own[bytes - 1], pattern((rank_ + size_ - 1) % size_, 999));
    host_.barrier();
  }
}

TEST_F(SharedWindowTest, NothingFromSomeOrAll) {
  const SharedWindow empty(host_, 0);
  const SharedWindow last_only(host_, rank_ == size_ - 1 ? 10 : 0);

  EXPECT_EQ(empty.of(rank_).size(), 0U);
  EXPECT_EQ(last_only.of(size_ - 1).size(), 10U);
  EXPECT_EQ(last_only.of(0).size(), size_ == 1 ? 10U : 0U);
}

TEST_F(SharedWindowTest, CanBeMoved) {
  SharedWindow first(host_, 100);
  std::byte* const start = first.of(rank_).data();

  const SharedWindow second = std::move(first);

  EXPECT_EQ(second.of(rank_).data(), start);
  EXPECT_EQ(second.of(rank_).size(), 100U);
}

TEST_F(SharedWindowTest, TakesItsMemoryAtOnce) {
  // Else the next window would be granted the same memory, and the first store into it be fatal.
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kPages = 1000;

  const SharedWindow window(host_, (kPages + 2) * kPage);

  void* start = window.of(rank_).data();
  std::size_t space = window.of(rank_).size();
  ASSERT_NE(std::align(kPage, kPages * kPage, start, space), nullptr);
  std::vector<unsigned char> is_resident(kPages);
  EXPECT_EQ(mincore(start, kPages * kPage, is_resident.data()), 0);
  EXPECT_GT(std::ranges::count_if(is_resident, [](unsigned char page) { return page % 2 == 1; }),
            900);  // some may have been swapped out
}

TEST_F(SharedWindowTest, OneRankNeedsNoFolder) {
  if (size_ == 1) setenv("GOSSIP_SHARED_MEMORY_DIR", "/proc", 1);  // has 0 bytes free

  const SharedWindow window(host_, 1000);
  unsetenv("GOSSIP_SHARED_MEMORY_DIR");

  EXPECT_EQ(window.of(0).size(), 1000U);
}

TEST_F(SharedWindowTest, MoreThanThereIsIsRefusedOnAllRanks) {
  for (const std::size_t bytes :
       {std::size_t{1} << 50U, kMost / 4 + 1, kMost / 2 + 1, kMost - 64, kMost}) {
    EXPECT_THROW(SharedWindow(host_, bytes), Error) << bytes;
  }
  host_.barrier();  // nobody is left behind in a collective call
}

TEST_F(SharedWindowTest, TheRefusalHasBothNumbersAndTheCure) {
  if (size_ == 1) return;
  constexpr std::size_t kBytes = std::size_t{1} << 50U;
  const std::string needed =
      fmt::format("need {:.1f} MiB", static_cast<double>(size_) * (std::size_t{1} << 30U));

  const std::string message = refusal(kBytes);

  EXPECT_THAT(message, AllOf(HasSubstr(needed), HasSubstr("/dev/shm has "), HasSubstr("--shm-size"),
                             HasSubstr("fewer ranks")));
}

TEST_F(SharedWindowTest, OneRankThatAsksForTooMuchIsHeardByAll) {
  if (size_ == 1) return;
  EXPECT_NE(refusal(rank_ == size_ - 1 ? std::size_t{1} << 50U : 1), "");
}

TEST_F(SharedWindowTest, OneRankThatSeesAFullFolderIsHeardByAll) {
  if (size_ == 1) return;
  if (rank_ == size_ - 1) setenv("GOSSIP_SHARED_MEMORY_DIR", "/proc", 1);  // has 0 bytes free

  const std::string message = refusal(1 << 20U);
  unsetenv("GOSSIP_SHARED_MEMORY_DIR");

  EXPECT_THAT(message, HasSubstr("has 0.0 MiB free"));
}

TEST(ShortageOfSharedMemory, LeavesOpenMpiTheTwentiethThatItDemands) {
  constexpr std::size_t kMiB = std::size_t{1} << 20U;

  EXPECT_EQ(shortage_of_shared_memory(0, 64 * kMiB, "/dev/shm"), "");
  EXPECT_EQ(shortage_of_shared_memory(60 * kMiB, 64 * kMiB, "/dev/shm"), "");
  EXPECT_NE(shortage_of_shared_memory(62 * kMiB, 64 * kMiB, "/dev/shm"), "");
  EXPECT_NE(shortage_of_shared_memory(64 * kMiB, 64 * kMiB, "/dev/shm"), "");
}

TEST(ShortageOfSharedMemory, SaysBothNumbersTheFolderAndTheCure) {
  constexpr std::size_t kMiB = std::size_t{1} << 20U;

  const std::string message = shortage_of_shared_memory(100 * kMiB, 64 * kMiB, "/some/folder");

  EXPECT_THAT(message, AllOf(HasSubstr("need 100.0 MiB"), HasSubstr("/some/folder has 64.0 MiB"),
                             HasSubstr("remount,size=... /some/folder")));
}

TEST(ShortageOfSharedMemory, DoesNotOverflow) {
  EXPECT_NE(shortage_of_shared_memory(kMost, kMost - 1, "/dev/shm"), "");
  EXPECT_EQ(shortage_of_shared_memory(kMost - 1, kMost, "/dev/shm"), "");
}

}  // namespace
}  // namespace gossip::mpi
