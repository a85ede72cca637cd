// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// An expectation that no rank of an MPI test can leave by an exception.

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gossip::test {

/// Expects on this rank an Exception whose message contains all of `parts`.
template <class Exception, class Action>
void expect_throw(Action&& action, const std::vector<std::string>& parts) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown, but '" << parts.front() << "' was expected";
  } catch (const Exception& error) {
    for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

}  // namespace gossip::test
