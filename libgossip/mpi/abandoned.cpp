// SPDX-License-Identifier: Apache-2.0
#include <list>
#include <mutex>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/mpi/abandoned.h>
#include <libgossip/mpi/check.h>

namespace gossip::mpi {
namespace {

struct Abandoned {
  std::vector<MPI_Request> operations;
  std::vector<std::shared_ptr<const void>> buffers;

  [[nodiscard]] bool is_over() {
    int is_finished = 0;
    try {
      GOSSIP_MPI(MPI_Testall(narrow_count(operations.size()), operations.data(), &is_finished,
                             MPI_STATUSES_IGNORE));
    } catch (const Error&) {
      return false;  // nobody knows what it still does with its buffers
    }
    return is_finished != 0;
  }
};

struct Keeper {
  std::mutex mutex;
  std::list<Abandoned> kept;

  [[nodiscard]] bool look() {
    const std::lock_guard lock(mutex);
    int is_finalized = 0;
    MPI_Finalized(&is_finalized);
    if (is_finalized != 0) return true;
    kept.remove_if([](Abandoned& entry) { return entry.is_over(); });
    return kept.empty();
  }
};

/// Never destroyed: MPI may use the buffers as long as the process lives.
Keeper& keeper() {
  static auto* const keeper = new Keeper;
  return *keeper;
}

}  // namespace

void abandon(std::vector<MPI_Request> operations,
             std::vector<std::shared_ptr<const void>> buffers) noexcept {
  Keeper& all = keeper();
  static_cast<void>(all.look());
  const std::lock_guard lock(all.mutex);
  all.kept.push_back({std::move(operations), std::move(buffers)});
}

bool finish_abandoned(const Deadline& deadline) {
  return wait_until(deadline, [] { return keeper().look(); });
}

}  // namespace gossip::mpi
