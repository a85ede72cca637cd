// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/abandoned.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/shared_window.h>

#include "support/expect_throw.h"

namespace gossip::mpi {
namespace {

const std::vector<std::size_t> kSizes = {0, 1, 7, 1001, 300001};

class CommunicatorTest : public testing::Test {
 protected:
  const Communicator comm_ = Communicator::duplicate(MPI_COMM_WORLD);
  const Rank rank_ = comm_.rank();
  const int size_ = comm_.size();
};

/// The hosts of the test, each with as many ranks as the others.
int hosts() {
  const char* text = std::getenv("GOSSIP_TEST_HOSTS");
  return text != nullptr ? std::atoi(text) : 1;
}

MPI_Errhandler handler_of(MPI_Comm comm) {
  MPI_Errhandler handler = MPI_ERRHANDLER_NULL;
  MPI_Comm_get_errhandler(comm, &handler);
  return handler;
}

TEST_F(CommunicatorTest, IsADuplicateWithTheSameRanks) {
  int relation = MPI_UNEQUAL;
  MPI_Comm_compare(comm_.get(), MPI_COMM_WORLD, &relation);
  int world_rank = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);

  EXPECT_EQ(relation, MPI_CONGRUENT);
  EXPECT_EQ(rank_, world_rank);
}

TEST_F(CommunicatorTest, LeavesTheUsersErrorHandlerAlone) {
  EXPECT_EQ(handler_of(MPI_COMM_WORLD), MPI_ERRORS_ARE_FATAL);
  EXPECT_EQ(handler_of(comm_.get()), MPI_ERRORS_RETURN);
}

TEST_F(CommunicatorTest, ReturnsErrorsAlsoFromASplit) {
  EXPECT_EQ(handler_of(comm_.split_by_host().get()), MPI_ERRORS_RETURN);
}

TEST_F(CommunicatorTest, ErrorsOfMpiBecomeExceptions) {
  std::vector<std::byte> bytes(8);
  const Rank nobody = size_;

  try {
    comm_.broadcast(bytes, nobody);
    ADD_FAILURE() << "a broadcast from a rank that does not exist was accepted";
  } catch (const MpiError& error) {
    int error_class = MPI_SUCCESS;
    MPI_Error_class(error.code(), &error_class);
    EXPECT_EQ(error_class, MPI_ERR_ROOT);
    EXPECT_THAT(error.what(), testing::ContainsRegex("communicator.cpp:[0-9]+: MPI_Ibcast"));
    // The words of Open MPI and of MPICH.
    EXPECT_THAT(error.what(), testing::ContainsRegex("MPI_ERR_ROOT|Invalid root"));
  }
}

TEST_F(CommunicatorTest, OfNothingIsRefused) {
  EXPECT_THROW(std::ignore = Communicator::duplicate(MPI_COMM_NULL), Error);
}

TEST_F(CommunicatorTest, MovesItsHandle) {
  Communicator first = Communicator::duplicate(MPI_COMM_WORLD);
  const MPI_Comm raw = first.get();

  const Communicator second = std::move(first);

  EXPECT_EQ(second.get(), raw);
  EXPECT_EQ(first.get(), MPI_COMM_NULL);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(second.rank(), rank_);
  EXPECT_EQ(second.size(), size_);
  second.barrier();
}

TEST_F(CommunicatorTest, SplitsByHostInTheOrderOfRanks) {
  const Communicator host = comm_.split_by_host();

  EXPECT_EQ(host.size(), size_ / hosts());
  EXPECT_EQ(host.rank(), rank_ % host.size());
}

TEST_F(CommunicatorTest, BarrierWaitsForAll) {
  const Communicator host = comm_.split_by_host();
  const SharedWindow window(host, sizeof(std::atomic<int>));
  const auto counter = [&](Rank rank) -> std::atomic<int>& {
    return *reinterpret_cast<std::atomic<int>*>(window.of(rank).data());
  };
  new (window.of(host.rank()).data()) std::atomic<int>(0);
  comm_.barrier();
  int early = 0;

  for (int round = 1; round <= 200; ++round) {
    counter(host.rank()).store(round);
    comm_.barrier();
    for (Rank rank = 0; rank < host.size(); ++rank) early += counter(rank).load() < round ? 1 : 0;
  }

  EXPECT_EQ(early, 0);
  comm_.barrier();
}

TEST_F(CommunicatorTest, BroadcastsFromEveryRoot) {
  for (const std::size_t size : kSizes) {
    for (Rank root = 0; root < size_; ++root) {
      std::vector<std::byte> bytes(size + 1, std::byte{0xEE});
      for (std::size_t k = 0; k < size; ++k) {
        bytes[k] = static_cast<std::byte>(k * 7 + static_cast<std::size_t>(rank_));
      }

      comm_.broadcast(std::span(bytes).first(size), root);

      std::size_t wrong = 0;
      for (std::size_t k = 0; k < size; ++k) {
        wrong +=
            bytes[k] != static_cast<std::byte>(k * 7 + static_cast<std::size_t>(root)) ? 1U : 0U;
      }
      EXPECT_EQ(wrong, 0U) << size << " bytes from rank " << root;
      EXPECT_EQ(bytes[size], std::byte{0xEE});
    }
  }
}

TEST_F(CommunicatorTest, GathersTextsOfAnyLength) {
  const auto text_of = [](Rank rank) {
    std::string text(static_cast<std::size_t>(rank) * 1001, static_cast<char>('a' + rank));
    if (rank > 0) text[3] = '\0';
    return text;
  };

  const std::vector<std::string> texts = comm_.all_gather(text_of(rank_));

  EXPECT_EQ(texts.size(), static_cast<std::size_t>(size_));
  for (Rank rank = 0; rank < static_cast<int>(texts.size()); ++rank) {
    EXPECT_EQ(texts[static_cast<std::size_t>(rank)], text_of(rank)) << rank;
  }
}

TEST_F(CommunicatorTest, GathersNothing) {
  EXPECT_THAT(comm_.all_gather(""),
              testing::ElementsAreArray(std::vector<std::string>(static_cast<std::size_t>(size_))));
}

/// Address space that nothing is written to, so that it takes no memory.
class Untouched {
 public:
  explicit Untouched(std::size_t bytes)
      : bytes_(bytes),
        memory_(
            mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;
  ~Untouched() { munmap(memory_, bytes_); }
  [[nodiscard]] std::string_view text() const { return {static_cast<char*>(memory_), bytes_}; }

 private:
  std::size_t bytes_;
  void* memory_;
};

TEST_F(CommunicatorTest, RefusesTextsThatAreTooLongTogetherOnAllRanks) {
  const std::size_t bytes = (std::size_t{3} << 30U) / static_cast<std::size_t>(size_);
  const Untouched own(bytes);

  test::expect_throw<JointError>(
      [&] { static_cast<void>(comm_.all_gather(own.text())); },
      {"have " + std::to_string(bytes * static_cast<std::size_t>(size_)) + " bytes together"});
  EXPECT_EQ(comm_.all_gather("a").size(), static_cast<std::size_t>(size_));
}

TEST_F(CommunicatorTest, AWaitThatEndsLeavesNothingThatMpiUses) {
  if (size_ == 1) return;
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  std::vector<std::byte> bytes(100'000, std::byte{7});
  const auto broadcast = [&] { comm.broadcast(bytes, size_ - 1); };
  EXPECT_FALSE(comm.is_disturbed());

  if (rank_ == 0) {  // receives what the last rank has not sent
    const CollectiveCall call("a test", std::chrono::milliseconds(50));
    test::expect_throw<TimeoutError>(broadcast, {"Rank 0 waited 50 ms", "broadcast of a test"});
    EXPECT_TRUE(comm.is_disturbed());
    EXPECT_FALSE(finish_abandoned(Deadline(std::chrono::milliseconds(1))));
    std::ranges::fill(bytes, std::byte{5});
  }
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank_ != 0) broadcast();

  EXPECT_TRUE(finish_abandoned(Deadline(std::chrono::seconds(20))));
  if (rank_ == 0) {
    EXPECT_EQ(std::ranges::count(bytes, std::byte{5}), 100'000);
  }
}

/// On no more ranks than it takes, as what rank 0 gives up is never over.
TEST_F(CommunicatorTest, ARankThatWaitsForLongSaysForWhatOnce) {
  if (size_ != 2) return;
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  if (rank_ == 0) {
    Patience patience = std::chrono::seconds(12);
    patience.while_waiting = [] { RunningClock::skip(std::chrono::seconds(1)); };
    const CollectiveCall call("a test", patience);
    testing::internal::CaptureStderr();
    test::expect_throw<TimeoutError>([&] { comm.barrier(); }, {"Rank 0 waited 12000 ms"});
    const std::string said = testing::internal::GetCapturedStderr();
    const std::string notice = "waiting for the other 1 ranks in a barrier of a test (1";
    EXPECT_NE(said.find(notice), std::string::npos) << said;
    EXPECT_EQ(said.find("waiting"), said.rfind("waiting")) << said;
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

template <class T>
class CommunicatorSum : public CommunicatorTest {};
using Elements = testing::Types<float, double>;
TYPED_TEST_SUITE(CommunicatorSum, Elements);

TYPED_TEST(CommunicatorSum, AddsOverAllRanks) {
  using T = TypeParam;
  for (const std::size_t size : kSizes) {
    const auto memory = std::make_shared<std::vector<T>>(size + 1, T{-1});
    std::vector<T>& values = *memory;
    for (std::size_t k = 0; k < size; ++k) values[k] = static_cast<T>(k % 100) + T(this->rank_);
    Requests requests;

    this->comm_.sum_async(std::span<T>(values).first(size), memory, requests);
    EXPECT_TRUE(requests.wait(Deadline(std::chrono::seconds(20))));

    const T ranks = static_cast<T>(this->size_ * (this->size_ - 1) / 2);
    std::size_t wrong = 0;
    for (std::size_t k = 0; k < size; ++k) {
      wrong += values[k] != static_cast<T>(k % 100) * static_cast<T>(this->size_) + ranks ? 1U : 0U;
    }
    EXPECT_EQ(wrong, 0U) << size;
    EXPECT_EQ(values[size], T{-1});
  }
}

TYPED_TEST(CommunicatorSum, SeveralRunAtOnce) {
  using T = TypeParam;
  const auto memory = std::make_shared<std::vector<std::vector<T>>>(5, std::vector<T>(1001));
  std::vector<std::vector<T>>& vectors = *memory;
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    std::iota(vectors[i].begin(), vectors[i].end(), static_cast<T>(i));
  }
  Requests requests;

  for (auto& vector : vectors) this->comm_.sum_async(std::span<T>(vector), memory, requests);
  EXPECT_TRUE(requests.wait(Deadline(std::chrono::seconds(20))));

  for (std::size_t i = 0; i < vectors.size(); ++i) {
    EXPECT_EQ(vectors[i].back(), static_cast<T>(this->size_) * static_cast<T>(1000 + i));
  }
}

}  // namespace
}  // namespace gossip::mpi
