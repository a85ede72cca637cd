// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/window.h>

namespace gossip::mpi {
namespace {

constexpr std::chrono::seconds kLong{30};

class WindowTest : public testing::Test {
 protected:
  static void finish(Operations& operations) {
    std::vector<std::uint64_t> finished;
    EXPECT_TRUE(wait_until(Deadline(kLong), [&] {
      operations.poll(finished);
      return operations.empty();
    }));
  }

  const Communicator world_ = Communicator::duplicate(MPI_COMM_WORLD);
};

TEST_F(WindowTest, PartsAreAlignedZeroAndOfTheSizesAskedFor) {
  const auto bytes = static_cast<std::size_t>(world_.rank()) * 1001;
  const Window window(world_, bytes);

  EXPECT_EQ(window.own().size(), bytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(window.own().data()) % 64, 0U);
  EXPECT_TRUE(std::ranges::all_of(window.own(), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_NO_THROW(std::ignore = window.component());
  world_.barrier();
}

TEST_F(WindowTest, PutsLandWhereTheyShall) {
  // Parts of different sizes, at different places behind their bases.
  constexpr std::size_t kBytes = 3000;
  const auto size = static_cast<std::size_t>(world_.size());
  const auto own = static_cast<std::size_t>(world_.rank());
  const auto pattern = [](std::size_t from, std::size_t to, std::size_t k) {
    return static_cast<std::byte>(from * 31 + to * 7 + k);
  };
  const Window window(world_, size * kBytes + own * 100);
  Operations puts;
  std::vector<std::vector<std::byte>> sources(size, std::vector<std::byte>(kBytes));

  for (std::size_t to = 0; to < size; ++to) {
    for (std::size_t k = 0; k < kBytes; ++k) sources[to][k] = pattern(own, to, k);
    for (std::size_t begin = 0; begin < kBytes; begin += 1000) {
      window.put(std::span(sources[to]).subspan(begin, 1000), static_cast<Rank>(to),
                 own * kBytes + begin, puts, 0);
    }
  }
  finish(puts);
  for (std::size_t to = 0; to < size; ++to) window.flush(static_cast<Rank>(to));
  world_.barrier();
  window.sync();

  std::size_t wrong = 0;
  for (std::size_t from = 0; from < size; ++from) {
    for (std::size_t k = 0; k < kBytes; ++k) {
      wrong += window.own()[from * kBytes + k] != pattern(from, own, k) ? 1U : 0U;
    }
  }
  EXPECT_EQ(wrong, 0U);
  world_.barrier();
}

TEST_F(WindowTest, AFlushOfTheLastByteOfAPartIsTheEnd) {
  const Window window(world_, 64);
  Operations puts;
  const std::byte one{1};
  const Rank right = (world_.rank() + 1) % world_.size();

  window.put(std::span(&one, 1), right, 63, puts, 0);
  finish(puts);
  window.flush(right);
  world_.barrier();
  window.sync();

  EXPECT_EQ(window.own()[63], std::byte{1});
  EXPECT_EQ(window.own()[62], std::byte{0});
  world_.barrier();
}

TEST_F(WindowTest, AFailureOnOneRankIsThrownByAll) {
  if (world_.rank() == 0) {
    // More than there can be, on one rank only.
    EXPECT_THROW(Window(world_, std::size_t{1} << 62U), Error);
  } else {
    EXPECT_THROW(Window(world_, 64), Error);
  }
  world_.barrier();
}

}  // namespace
}  // namespace gossip::mpi
