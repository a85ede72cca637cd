// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// One result for a test that runs on several ranks.

#include <string>

#include <gtest/gtest.h>
#include <mpi.h>

#include "support/hang_watchdog.h"

namespace gossip::test {

/// After each test, shows the failures of all ranks on rank 0, and makes the test fail on every
/// rank when it failed on one. A test that some ranks skipped and others did not has failed.
///
/// Must stand behind GoogleTest's printer in the list of listeners: end events come in reverse
/// order, so what is merged here is printed as part of the test.
class MergingListener : public testing::EmptyTestEventListener {
 public:
  /// Local. `comm` is used between the tests by every rank; both must outlive the listener.
  MergingListener(MPI_Comm comm, HangWatchdog& watchdog);

  void OnTestStart(const testing::TestInfo& info) override;
  void OnTestPartResult(const testing::TestPartResult& result) override;
  void OnTestEnd(const testing::TestInfo& info) override;
  void OnTestIterationEnd(const testing::UnitTest& unit_test, int iteration) override;

 private:
  /// Collective. Adds the other ranks' failures to the result that GoogleTest has open on this
  /// rank.
  void merge_failures();

  const MPI_Comm comm_;
  HangWatchdog& watchdog_;
  int rank_ = 0;
  int size_ = 0;
  bool merging_ = false;
  bool failed_ = false;   // this rank, since the last merge
  std::string failures_;  // of a rank other than 0, since the last merge
};

}  // namespace gossip::test
