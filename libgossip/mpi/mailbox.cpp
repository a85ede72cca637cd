// SPDX-License-Identifier: Apache-2.0
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/mailbox.h>

namespace gossip::mpi {
namespace {

constexpr int kTag = 0;
constexpr int kRecordBytes = static_cast<int>(Mailbox::kBytes);

}  // namespace

Mailbox::Mailbox(Communicator communicator) : communicator_(std::move(communicator)) {
  for (Slot& slot : incoming_) post(slot);
}

Mailbox::~Mailbox() {
  const Serial serial;
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized != 0) return;
  for (Slot& slot : incoming_) {
    if (slot.request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&slot.request);
    MPI_Request_free(&slot.request);
  }
  for (Slot& slot : outgoing_) {
    if (slot.request != MPI_REQUEST_NULL) MPI_Request_free(&slot.request);
  }
}

void Mailbox::post(Slot& slot) {
  GOSSIP_MPI(MPI_Irecv(slot.record.data(), kRecordBytes, MPI_BYTE, MPI_ANY_SOURCE, kTag,
                       communicator_.get(), &slot.request));
}

void Mailbox::send(const Record& record, Rank to) {
  Slot& slot = outgoing_.emplace_back();
  slot.record = record;
  GOSSIP_MPI(MPI_Isend(slot.record.data(), kRecordBytes, MPI_BYTE, to, kTag, communicator_.get(),
                       &slot.request));
}

std::optional<std::pair<Rank, Mailbox::Record>> Mailbox::receive() {
  Slot& slot = incoming_[next_];
  int has_arrived = 0;
  MPI_Status status;
  GOSSIP_MPI(MPI_Test(&slot.request, &has_arrived, &status));
  if (has_arrived == 0) return std::nullopt;
  std::pair<Rank, Record> result{status.MPI_SOURCE, slot.record};
  post(slot);
  next_ = (next_ + 1) % kReceives;
  return result;
}

bool Mailbox::progress() {
  while (!outgoing_.empty()) {
    int is_sent = 0;
    GOSSIP_MPI(MPI_Test(&outgoing_.front().request, &is_sent, MPI_STATUS_IGNORE));
    if (is_sent == 0) return true;
    outgoing_.pop_front();
  }
  return false;
}

}  // namespace gossip::mpi
