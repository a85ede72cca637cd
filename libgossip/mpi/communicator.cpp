// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <numeric>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/communicator.h>

namespace gossip::mpi {
namespace {

/// Elements (or bytes) of one MPI call: the counts of MPI 3 are ints.
constexpr std::size_t kPiece = std::size_t{1} << 30U;

/// How long a collective call waits for the other ranks.
constexpr std::chrono::minutes kTimeout{5};

}  // namespace

void detail::CommunicatorTraits::free(Raw raw) noexcept {
  const Serial serial;
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized == 0) MPI_Comm_free(&raw);
}

Communicator::Communicator(MPI_Comm owned) : handle_(owned) {
  GOSSIP_MPI(MPI_Comm_set_errhandler(get(), MPI_ERRORS_RETURN));
  GOSSIP_MPI(MPI_Comm_rank(get(), &rank_));
  GOSSIP_MPI(MPI_Comm_size(get(), &size_));
}

Communicator Communicator::duplicate(MPI_Comm user) {
  GOSSIP_CHECK(user != MPI_COMM_NULL, "A group of ranks cannot be made from MPI_COMM_NULL.");
  MPI_Comm copy = MPI_COMM_NULL;
  GOSSIP_MPI(MPI_Comm_dup(user, &copy));
  return Communicator(copy);
}

Communicator Communicator::split_by_host(int most) const {
  MPI_Comm host = MPI_COMM_NULL;
  GOSSIP_MPI(MPI_Comm_split_type(get(), MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host));
  Communicator whole(host);
  if (most <= 0) return whole;
  MPI_Comm part = MPI_COMM_NULL;
  GOSSIP_MPI(MPI_Comm_split(host, whole.rank() / most, whole.rank(), &part));
  return Communicator(part);
}

void Communicator::finish(Requests& requests, std::string_view what) const {
  if (requests.wait(Deadline(kTimeout))) return;
  throw TimeoutError(
      -1, fmt::format("Rank {} waited {} s for the other {} ranks in a {}: one of them has ended "
                      "or hangs.",
                      rank_, std::chrono::seconds(kTimeout).count(), size_ - 1, what));
}

void Communicator::barrier() const {
  Requests requests;
  GOSSIP_MPI(MPI_Ibarrier(get(), requests.add()));
  finish(requests, "barrier");
}

void Communicator::broadcast(std::span<std::byte> bytes, Rank root) const {
  for (std::size_t begin = 0; begin < bytes.size(); begin += kPiece) {
    const std::span<std::byte> piece = bytes.subspan(begin, std::min(kPiece, bytes.size() - begin));
    Requests requests;
    GOSSIP_MPI(MPI_Ibcast(piece.data(), narrow_count(piece.size()), MPI_BYTE, root, get(),
                          requests.add()));
    finish(requests, "broadcast");
  }
}

std::vector<std::string> Communicator::all_gather(std::string_view text) const {
  const auto count = static_cast<std::size_t>(size_);
  const int own_length = narrow_count(text.size());
  std::vector<int> lengths(count);
  Requests requests;
  GOSSIP_MPI(
      MPI_Iallgather(&own_length, 1, MPI_INT, lengths.data(), 1, MPI_INT, get(), requests.add()));
  finish(requests, "gather");
  std::vector<int> offsets(count, 0);
  std::partial_sum(lengths.begin(), lengths.end() - 1, offsets.begin() + 1);
  std::string joined(static_cast<std::size_t>(offsets.back() + lengths.back()), '\0');
  GOSSIP_MPI(MPI_Iallgatherv(text.data(), own_length, MPI_CHAR, joined.data(), lengths.data(),
                             offsets.data(), MPI_CHAR, get(), requests.add()));
  finish(requests, "gather");
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back(
        joined.substr(static_cast<std::size_t>(offsets[i]), static_cast<std::size_t>(lengths[i])));
  }
  return texts;
}

void Communicator::sum_async(const VectorView& vector, Requests& requests) const {
  visit(vector, [&]<class T>(std::span<T> values) {
    const MPI_Datatype type = kDtypeOf<T> == Dtype::kFloat32 ? MPI_FLOAT : MPI_DOUBLE;
    for (std::size_t begin = 0; begin < values.size(); begin += kPiece) {
      const std::span<T> piece = values.subspan(begin, std::min(kPiece, values.size() - begin));
      GOSSIP_MPI(MPI_Iallreduce(MPI_IN_PLACE, piece.data(), narrow_count(piece.size()), type,
                                MPI_SUM, get(), requests.add()));
    }
  });
}

void Communicator::max_async(std::span<double> numbers, Requests& requests) const {
  GOSSIP_MPI(MPI_Iallreduce(MPI_IN_PLACE, numbers.data(), narrow_count(numbers.size()), MPI_DOUBLE,
                            MPI_MAX, get(), requests.add()));
}

}  // namespace gossip::mpi
