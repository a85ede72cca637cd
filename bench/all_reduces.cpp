// SPDX-License-Identifier: Apache-2.0
#include "all_reduces.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>

#include <mpi.h>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/mpi/serial.h>

namespace gossip::bench {
namespace {

/// Short enough to keep the wire busy, and a small part of a core.
constexpr std::chrono::microseconds kPoll{20};

void blocking_all_reduce(const mpi::Communicator& communicator, std::span<const float> source,
                         std::span<float> sum) {
  const mpi::Serial serial;
  MPI_Allreduce(source.data(), sum.data(), narrow_count(sum.size()), MPI_FLOAT, MPI_SUM,
                communicator.get());
}

void polled_all_reduce(const mpi::Communicator& communicator, std::span<const float> source,
                       std::span<float> sum) {
  MPI_Request request = MPI_REQUEST_NULL;
  {
    const mpi::Serial serial;
    MPI_Iallreduce(source.data(), sum.data(), narrow_count(sum.size()), MPI_FLOAT, MPI_SUM,
                   communicator.get(), &request);
  }
  for (int is_done = 0; is_done == 0;) {
    {
      const mpi::Serial serial;
      MPI_Test(&request, &is_done, MPI_STATUS_IGNORE);
    }
    if (is_done == 0) std::this_thread::sleep_for(kPoll);
  }
}

/// The vector in as many chunks as there are ranks, each in pieces. What arrives from the previous
/// rank is added (the first n - 1 rounds) or put in place (the others) and goes on to the next rank
/// at once, piece by piece, so that both directions of the link are always busy.
class Ring {
 public:
  Ring(const mpi::Communicator& communicator, std::span<float> source, std::span<float> sum,
       std::size_t piece_bytes)
      : communicator_(communicator),
        source_(source),
        sum_(sum),
        ranks_(static_cast<std::size_t>(communicator.size())),
        chunk_((sum.size() + ranks_ - 1) / ranks_),
        piece_(std::min(chunk_, piece_bytes / sizeof(float))),
        pieces_((chunk_ + piece_ - 1) / piece_),
        receives_(std::min(kReceives, messages()), MPI_REQUEST_NULL),
        received_(receives_.size()),
        done_(receives_.size()),
        buffer_(receives_.size() * piece_),
        sends_(ranks_ * pieces_, MPI_REQUEST_NULL) {}

  void run() {
    next_receive_ = 0;
    std::size_t arrived = 0;
    for (std::size_t i = 0; i < receives_.size(); ++i) receive(i);
    for (std::size_t piece = 0; rounds() > 0 && piece < pieces_; ++piece) send(0, piece);
    while (arrived < messages()) {
      const std::size_t count = poll();
      arrived += count;
      if (count == 0) std::this_thread::sleep_for(kPoll);
    }
    const mpi::Serial serial;
    MPI_Waitall(narrow_count(sends_.size()), sends_.data(), MPI_STATUSES_IGNORE);
  }

 private:
  static constexpr std::size_t kReceives = 16;  // under way at a time

  [[nodiscard]] std::size_t rounds() const { return 2 * (ranks_ - 1); }
  [[nodiscard]] std::size_t messages() const { return rounds() * pieces_; }

  /// The chunk that this rank sends in a round; it receives the one before.
  [[nodiscard]] std::size_t chunk_sent(std::size_t round) const {
    const auto rank = static_cast<std::size_t>(communicator_.rank());
    return (rank + 2 * ranks_ - round) % ranks_;
  }

  [[nodiscard]] std::span<float> piece(std::span<float> vector, std::size_t chunk,
                                       std::size_t index) const {
    const std::size_t end = std::min(vector.size(), (chunk + 1) * chunk_);
    const std::size_t begin = std::min(end, chunk * chunk_ + index * piece_);
    return vector.subspan(begin, std::min(piece_, end - begin));
  }

  void receive(std::size_t place) {
    if (next_receive_ == messages()) return;
    received_[place] = next_receive_++;
    const Rank previous = (communicator_.rank() + communicator_.size() - 1) % communicator_.size();
    const mpi::Serial serial;
    MPI_Irecv(&buffer_[place * piece_], narrow_count(piece_), MPI_FLOAT, previous,
              narrow_count(received_[place]), communicator_.get(), &receives_[place]);
  }

  void send(std::size_t round, std::size_t index) {
    const std::size_t chunk = chunk_sent(round);
    const std::span<const float> values = piece(round == 0 ? source_ : sum_, chunk, index);
    const Rank next = (communicator_.rank() + 1) % communicator_.size();
    const mpi::Serial serial;
    MPI_Isend(values.data(), narrow_count(values.size()), MPI_FLOAT, next,
              narrow_count(round * pieces_ + index), communicator_.get(),
              &sends_[chunk * pieces_ + index]);
  }

  std::size_t poll() {
    int count = 0;
    {
      const mpi::Serial serial;
      MPI_Testsome(narrow_count(receives_.size()), receives_.data(), &count, done_.data(),
                   MPI_STATUSES_IGNORE);
    }
    if (count == MPI_UNDEFINED) return 0;
    for (int i = 0; i < count; ++i)
      take(static_cast<std::size_t>(done_[static_cast<std::size_t>(i)]));
    return static_cast<std::size_t>(count);
  }

  void take(std::size_t place) {
    const std::size_t round = received_[place] / pieces_;
    const std::size_t index = received_[place] % pieces_;
    const std::size_t chunk = chunk_sent(round + 1);
    const std::span<const float> own = piece(source_, chunk, index);
    const std::span<float> values = piece(sum_, chunk, index);
    const float* arrived = &buffer_[place * piece_];
    {
      const mpi::Serial serial;  // its last sending is over: what arrives has gone around since
      MPI_Wait(&sends_[chunk * pieces_ + index], MPI_STATUS_IGNORE);
    }
    if (round < ranks_ - 1) {
      for (std::size_t k = 0; k < values.size(); ++k) values[k] = own[k] + arrived[k];
    } else {
      std::copy_n(arrived, values.size(), values.data());
    }
    receive(place);
    if (round + 1 < rounds()) send(round + 1, index);
  }

  const mpi::Communicator& communicator_;
  std::span<float> source_;
  std::span<float> sum_;
  std::size_t ranks_;
  std::size_t chunk_;  // elements
  std::size_t piece_;  // elements
  std::size_t pieces_;
  std::size_t next_receive_ = 0;
  std::vector<MPI_Request> receives_;
  std::vector<std::size_t> received_;  // messages, by place
  std::vector<int> done_;
  std::vector<float> buffer_;
  std::vector<MPI_Request> sends_;  // by chunk and piece
};

void check(const mpi::Communicator& communicator, std::span<float> source, std::span<float> sum,
           const Contender& contender) {
  for (std::size_t k = 0; k < source.size(); ++k) {
    source[k] = static_cast<float>(communicator.rank()) + static_cast<float>(k % 7);
  }
  contender.run();
  const auto ranks = static_cast<float>(communicator.size());
  for (std::size_t k = 0; k < sum.size(); ++k) {
    const float right = ranks * ((ranks - 1) / 2 + static_cast<float>(k % 7));
    GOSSIP_CHECK(std::abs(sum[k] - right) <= 1e-5F * right,
                 "Element {} of '{}' is {} instead of {}.", k, contender.name, sum[k], right);
  }
  std::ranges::fill(source, 0.0F);
  std::ranges::fill(sum, 0.0F);
}

}  // namespace

std::vector<Contender> all_reduces(transport::Group& group, const mpi::Communicator& communicator,
                                   std::span<float> source, std::span<float> sum) {
  const std::shared_ptr<transport::Mean> mean = group.make_mean(sum, std::chrono::minutes(5));
  const auto mean_to_sum = static_cast<double>(communicator.size());
  const auto ring = [&](std::size_t piece_bytes) {
    auto shared = std::make_shared<Ring>(communicator, source, sum, piece_bytes);
    return [shared] { shared->run(); };
  };
  std::vector<Contender> all{
      {"the library's mean",
       [=] {
         std::ranges::copy(source, sum.begin());
         mean->start();
         mean->wait();
         kernels::scale(sum, mean_to_sum);
       }},
      {"MPI_Allreduce", [=, &communicator] { blocking_all_reduce(communicator, source, sum); }},
      {"MPI_Iallreduce, polled",
       [=, &communicator] { polled_all_reduce(communicator, source, sum); }},
      {"ring of our own, a message a chunk", ring(sum.size_bytes())},
      {"ring of our own, pieces of 1 MB", ring(std::size_t{1} << 20U)}};
  for (const Contender& contender : all) check(communicator, source, sum, contender);
  return all;
}

}  // namespace gossip::bench
