// SPDX-License-Identifier: Apache-2.0
#include "support/merging_listener.h"

#include <cstdio>
#include <vector>

namespace gossip::test {
namespace {

/// Collective. On rank 0 the text of every rank, elsewhere nothing.
std::vector<std::string> gather(const std::string& text, MPI_Comm comm, int rank, int size) {
  const bool root = rank == 0;
  const int length = static_cast<int>(text.size());
  std::vector<int> lengths(root ? static_cast<std::size_t>(size) : 0);
  MPI_Gather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, 0, comm);

  std::vector<int> offsets;
  int total = 0;
  for (const int each : lengths) {
    offsets.push_back(total);
    total += each;
  }
  std::string all(static_cast<std::size_t>(total), '\0');
  MPI_Gatherv(text.data(), length, MPI_CHAR, all.data(), lengths.data(), offsets.data(), MPI_CHAR,
              0, comm);

  std::vector<std::string> texts;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    texts.push_back(
        all.substr(static_cast<std::size_t>(offsets[i]), static_cast<std::size_t>(lengths[i])));
  }
  return texts;
}

int sum(int value, MPI_Comm comm) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT, MPI_SUM, comm);
  return value;
}

std::string name_of(const testing::TestInfo& info) {
  return std::string(info.test_suite_name()) + "." + info.name();
}

}  // namespace

MergingListener::MergingListener(MPI_Comm comm, HangWatchdog& watchdog)
    : comm_(comm), watchdog_(watchdog) {
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
}

void MergingListener::OnTestStart(const testing::TestInfo& info) {
  watchdog_.now("is still in " + name_of(info));
}

void MergingListener::OnTestPartResult(const testing::TestPartResult& result) {
  if (merging_ || !result.failed()) return;
  std::string text = result.file_name() != nullptr ? result.file_name() : "unknown file";
  if (result.line_number() >= 0) text += ":" + std::to_string(result.line_number());
  text += std::string(": Failure\n") + result.message() + "\n";
  failed_ = true;
  if (rank_ == 0) {  // its failures are on the screen already; say whose they are
    std::printf("(on rank 0 of %d)\n", size_);
    std::fflush(stdout);
  } else {
    failures_ += text;
  }
  watchdog_.failed(text);
}

void MergingListener::OnTestEnd(const testing::TestInfo& info) {
  watchdog_.now("has ended " + name_of(info) + " and waits for the other ranks");
  merge_failures();

  const int skipped = sum(info.result()->Skipped() ? 1 : 0, comm_);
  if (skipped != 0 && skipped != size_) {
    merging_ = true;
    ADD_FAILURE_AT("all ranks", -1) << skipped << " of " << size_ << " ranks skipped this test";
    merging_ = false;
  }
}

void MergingListener::OnTestIterationEnd(const testing::UnitTest& /*unit_test*/,
                                         int /*iteration*/) {
  watchdog_.now("has ended all tests and waits for the other ranks");
  merge_failures();  // those of suites' and environments' set-up and tear-down
}

void MergingListener::merge_failures() {
  const int failed_ranks = sum(failed_ ? 1 : 0, comm_);
  const std::vector<std::string> texts = gather(failures_, comm_, rank_, size_);
  failures_.clear();
  watchdog_.forget_failures();

  merging_ = true;
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank].empty()) continue;
    const std::string where = "rank " + std::to_string(rank) + " of " + std::to_string(size_);
    ADD_FAILURE_AT(where.c_str(), -1) << texts[rank];
  }
  if (rank_ != 0 && !failed_ && failed_ranks != 0) ADD_FAILURE_AT("another rank", -1);
  merging_ = false;
  failed_ = false;
}

}  // namespace gossip::test
