// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/mpi/abandoned.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/request.h>

namespace gossip::mpi {

Requests::~Requests() { let_go(); }

Requests& Requests::operator=(Requests&& other) noexcept {
  if (this != &other) {
    let_go();
    pending_ = std::exchange(other.pending_, {});
    buffers_ = std::exchange(other.buffers_, {});
  }
  return *this;
}

void Requests::let_go() noexcept {
  std::size_t unfinished = 0;
  bool are_kept = true;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    // A call that failed to start an operation leaves a null request behind.
    if (pending_[i] == MPI_REQUEST_NULL) continue;
    ++unfinished;
    are_kept = are_kept && buffers_[i] != nullptr;
  }
  GOSSIP_ASSERT(unfinished == 0 || are_kept || std::uncaught_exceptions() > 0,
                "{} MPI operations were destroyed before they were finished", unfinished);
  if (unfinished > 0) abandon();
}

MPI_Request* Requests::add(std::shared_ptr<const void> buffers) {
  buffers_.push_back(std::move(buffers));
  return &pending_.emplace_back(MPI_REQUEST_NULL);
}

bool Requests::test() {
  int is_finished = 1;
  if (!pending_.empty()) {
    GOSSIP_MPI(MPI_Testall(narrow_count(pending_.size()), pending_.data(), &is_finished,
                           MPI_STATUSES_IGNORE));
  }
  if (is_finished == 0) return false;
  pending_.clear();
  buffers_.clear();
  return true;
}

bool Requests::wait(const Deadline& deadline, const std::function<void()>& while_waiting) {
  return wait_until(
      deadline, [this] { return test(); }, while_waiting);
}

void Requests::abandon() noexcept {
  if (!pending_.empty()) mpi::abandon(std::move(pending_), std::move(buffers_));
  pending_.clear();
  buffers_.clear();
}

}  // namespace gossip::mpi
