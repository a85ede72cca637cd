// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Ranks that are threads of the test's process.

#include <concepts>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace gossip::test {

/// Runs `body(rank)` on `size` threads at once, rank 0 to size - 1, and waits for all of them.
///
/// Blocks. Rethrows the exception that was thrown first in time: it is the cause, later ones (a
/// deadline on another rank) are its consequences. GoogleTest's EXPECT_* may be used in the body.
template <std::invocable<int> Body>
void run_ranks(int size, const Body& body) {
  std::mutex mutex;
  std::exception_ptr first;
  {
    std::vector<std::jthread> ranks;
    ranks.reserve(static_cast<std::size_t>(size));
    for (int rank = 0; rank < size; ++rank) {
      ranks.emplace_back([&, rank] {
        try {
          body(rank);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!first) first = std::current_exception();
        }
      });
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace gossip::test
