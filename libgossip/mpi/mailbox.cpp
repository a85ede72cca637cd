// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/exchange.h>
#include <libgossip/mpi/mailbox.h>

namespace gossip::mpi {
namespace {

constexpr int kTag = 0;
constexpr int kRecordBytes = static_cast<int>(Mailbox::kBytes);

}  // namespace

Mailbox::Mailbox(Communicator communicator)
    : communicator_(std::move(communicator)),
      sent_(static_cast<std::size_t>(communicator_.size()), 0) {}

Mailbox::~Mailbox() {
  if (!is_finished_) communicator_.leave();
  // MPI may still read what finish() did not see off.
  if (!outgoing_.empty()) static_cast<void>(new std::list<Slot>(std::move(outgoing_)));
}

void Mailbox::send(const Record& record, Rank to) {
  if (spare_.empty()) spare_.emplace_back();
  outgoing_.splice(outgoing_.end(), spare_, spare_.begin());
  Slot& slot = outgoing_.back();
  slot.record = record;
  GOSSIP_MPI(MPI_Isend(slot.record.data(), kRecordBytes, MPI_BYTE, to, kTag, communicator_.get(),
                       &slot.request));
  ++sent_[static_cast<std::size_t>(to)];
  is_finished_ = false;
}

/// Looks for records that have arrived instead of posting receives for them: MPICH 5.0 over TCP
/// does not match a receive from any source with a message that was there before it.
std::optional<std::pair<Rank, Mailbox::Record>> Mailbox::receive() {
  int has_arrived = 0;
  MPI_Status status;
  GOSSIP_MPI(MPI_Iprobe(MPI_ANY_SOURCE, kTag, communicator_.get(), &has_arrived, &status));
  if (has_arrived == 0) return std::nullopt;
  std::pair<Rank, Record> result{status.MPI_SOURCE, {}};
  GOSSIP_MPI(MPI_Recv(result.second.data(), kRecordBytes, MPI_BYTE, result.first, kTag,
                      communicator_.get(), MPI_STATUS_IGNORE));
  ++received_;
  return result;
}

bool Mailbox::progress() {
  while (!outgoing_.empty()) {
    int is_sent = 0;
    GOSSIP_MPI(MPI_Test(&outgoing_.front().request, &is_sent, MPI_STATUS_IGNORE));
    if (is_sent == 0) return true;
    spare_.splice(spare_.end(), outgoing_, outgoing_.begin());
  }
  return false;
}

/// MPI may find only now what the first look has brought in.
void Mailbox::note_finished() {
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized == 0) is_finished_ = !progress() && !receive() && !receive();
}

/// Records that all processes together have sent to this one.
std::uint64_t Mailbox::due() const {
  const std::vector<std::uint64_t> counts = exchange_numbers(communicator_, sent_);
  return std::reduce(counts.begin(), counts.end());
}

void Mailbox::finish(std::chrono::milliseconds timeout) {
  const std::uint64_t count = due();
  const auto is_over = [&] {
    while (receive()) {
    }
    return !progress() && received_ == count;
  };
  const Deadline deadline(timeout);
  Notice notice(communicator_.rank(), deadline);
  const auto whom = [&] {
    return fmt::format("the last {} of {} records to come", count - received_, count);
  };
  is_finished_ = wait_until(deadline, is_over, [&] { notice.look(whom); });
  if (is_finished_) return;
  throw TimeoutError(-1, fmt::format("Rank {} got {} of {} records within {} ms.",
                                     communicator_.rank(), received_, count, timeout.count()));
}

}  // namespace gossip::mpi
