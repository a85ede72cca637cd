// SPDX-License-Identifier: Apache-2.0
#include <exception>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/request.h>

namespace gossip::mpi {

Requests::~Requests() {
  GOSSIP_ASSERT(pending_.empty() || std::uncaught_exceptions() > 0,
                "{} MPI operations were destroyed before they were finished", pending_.size());
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

bool Requests::wait(const Deadline& deadline) {
  return wait_until(deadline, [this] { return test(); });
}

}  // namespace gossip::mpi
