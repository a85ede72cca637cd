// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/request.h>

namespace gossip::mpi {

Requests::~Requests() { check_finished(); }

Requests& Requests::operator=(Requests&& other) noexcept {
  if (this != &other) {
    check_finished();
    pending_ = std::exchange(other.pending_, {});
  }
  return *this;
}

void Requests::check_finished() const {
  // A call that failed to start an operation leaves a null request behind.
  const auto unfinished = std::ranges::count_if(
      pending_, [](MPI_Request request) { return request != MPI_REQUEST_NULL; });
  GOSSIP_ASSERT(unfinished == 0 || std::uncaught_exceptions() > 0,
                "{} MPI operations were destroyed before they were finished", unfinished);
}

MPI_Request* Requests::add() { return &pending_.emplace_back(MPI_REQUEST_NULL); }

bool Requests::test() {
  int is_finished = 1;
  if (!pending_.empty()) {
    GOSSIP_MPI(MPI_Testall(narrow_count(pending_.size()), pending_.data(), &is_finished,
                           MPI_STATUSES_IGNORE));
  }
  if (is_finished == 0) return false;
  pending_.clear();
  return true;
}

bool Requests::wait(const Deadline& deadline, const std::function<void()>& while_waiting) {
  return wait_until(
      deadline, [this] { return test(); }, while_waiting);
}

}  // namespace gossip::mpi
