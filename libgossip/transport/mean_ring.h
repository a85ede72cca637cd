// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The exact mean of large vectors between hosts.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <libgossip/base/alone.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/types.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/operations.h>
#include <libgossip/transport/background.h>
#include <libgossip/transport/group.h>
#include <libgossip/transport/mean_wait.h>
#include <libgossip/transport/ring_plan.h>

namespace gossip::transport {

/// Means by ring all-reduces, as RingPlan says. What arrives is added up or taken in and sent on at
/// once, piece by piece, so that both directions of a link are always busy, also from one mean to
/// the next: all of them form one sequence of messages, in the order in which they were started.
///
/// Every element is added up in one order, by one rank after the other, and then handed around: all
/// ranks get the same bits. MPI touches only memory of this object's own.
///
/// The thread that waits for a mean drives all of them; the communication thread does so while
/// nobody waits.
///
/// A mean that was given up (after a timeout, say) is ended in the background, on a copy of the
/// vector, so that the ranks that come late find their values. What ranks send each other has a tag
/// made of the size, so that means of different vectors wait for each other in vain, rather than
/// take each other's values.
///
/// Collective: construction and destruction. Threads: any.
class MeanRing {
 public:
  /// `hosts`: the ranks of each host; the same on all ranks.
  MeanRing(mpi::Communicator communicator, const std::vector<std::vector<Rank>>& hosts,
           Background& background);
  MeanRing(const MeanRing&) = delete;
  MeanRing& operator=(const MeanRing&) = delete;
  ~MeanRing();

  /// As Group::make_mean(). Each start is on the ring that `present` is then, which must outlive
  /// the result; `wait` says how it waits. A mean
  /// that `works_on_copy` of the vector leaves the vector as it was after an error. Local.
  [[nodiscard]] static std::unique_ptr<Mean> make_mean(const std::shared_ptr<MeanRing>& present,
                                                       const VectorView& vector,
                                                       const MeanWait& wait, bool works_on_copy);

  /// Whether a mean was given up before its end on this rank: the ranks' next ones may not fit
  /// together, so no more can be started on this ring. Local.
  [[nodiscard]] bool is_disturbed();

  /// No more means are started on it: its end leaves alone what other ranks may have sent. Local.
  void retire();

  /// Whether a ring is faster for such a vector than a tree, which takes fewer messages one after
  /// the other but sends the whole vector in each.
  [[nodiscard]] static bool is_faster_for(const VectorView& vector, int ranks) noexcept;

 private:
  class RingMean;
  class Waiting;

  /// A vector that is averaged, now and then.
  struct Job {
    VectorView vector = {};
    RingPlan::Cut cut = {};
    int tag = 0;
    bool is_over = true;
    std::vector<std::byte> copy = {};  ///< of the vector, once nobody waits for it any more
  };

  /// A pass in the sequence of all passes of all means.
  struct Place {
    std::size_t mean = 0;  ///< which of the started ones
    std::size_t block = 0;
    std::size_t pass = 0;
    std::uint64_t number = 0;  ///< counted over all means
  };

  /// A posted receive.
  struct Arrival {
    int slot = -1;
    bool is_here = false;
  };

  void begin();
  [[nodiscard]] std::shared_ptr<Job> make_job(const VectorView& vector);
  void start(const std::shared_ptr<Job>& job);
  [[nodiscard]] bool drive(const Job& job);
  void give_up(Job& job) noexcept;

  Activity look();
  bool advance();
  bool collect();
  bool take_arrivals();
  bool inject();
  [[nodiscard]] bool may_inject() const;
  bool post_receives();
  void take(int place);
  void send(int place, std::size_t bytes, const Place& of);
  void release(int place);
  void finish_pass();
  void step(Place& place) const;

  [[nodiscard]] const RingPass& pass(const Place& place) const {
    return plan_.passes()[place.pass];
  }
  [[nodiscard]] VectorView piece(const Place& place, std::size_t round, std::size_t index) const;
  [[nodiscard]] std::span<std::byte> slot(int index);

  gossip::detail::Lifetime lifetime_;
  mpi::Communicator communicator_;
  Background& background_;
  const RingPlan plan_;
  std::vector<std::byte> memory_;  // of the slots, from the first mean on

  std::timed_mutex mutex_;  // of everything below, and of the means
  std::vector<std::shared_ptr<Job>> started_;
  std::vector<int> free_to_receive_;
  std::vector<int> free_to_inject_;
  Place posting_;                  // receives are posted for
  std::size_t posted_ = 0;         // receives of that pass
  Place injecting_;                // this rank's own values go out for
  std::size_t injected_ = 0;       // pieces of that pass
  Place taking_;                   // what arrives is for
  std::size_t round_;              // of that pass
  std::size_t piece_ = 0;          // of that round
  std::vector<Arrival> arrivals_;  // in their order: `num_arrivals_` from `first_arrival_` on
  std::size_t first_arrival_ = 0;
  std::size_t num_arrivals_ = 0;
  mpi::Operations receives_;
  mpi::Operations sends_;
  std::vector<std::uint64_t> finished_;
  std::exception_ptr error_;  // of MPI
  bool is_disturbed_ = false;
  std::atomic<int> waiting_{0};               // threads, which drive everything
  std::unique_ptr<Background::Work> thread_;  // of the communication thread; ends first
};

}  // namespace gossip::transport
