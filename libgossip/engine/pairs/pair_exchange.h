// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Asynchronous pair events between ranks.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/base/alone.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/random.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/pairs/pair_chunks.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

struct PairExchangeOptions {
  /// The ranks that this one exchanges with; each names the other.
  std::vector<Rank> peers;
  /// By rank: the model time between two events of that rank.
  std::vector<double> elapsed;
  /// Whether a rank that waits for the answer to a chunk takes part in no other event of that chunk
  /// meanwhile, so that both halves of an event happen at once. It needs an order of the ranks in
  /// which each asks, between hosts, only those behind it (topology::levels_of()).
  bool is_atomic = false;
  std::chrono::milliseconds timeout = std::chrono::minutes(5);
  policy::OnLostNeighbor on_lost_neighbor = policy::OnLostNeighbor::kError;
};

/// The pair events of a PairAlgorithm, while the ranks compute. An event of i and j moves the state
/// of both by the same difference m, so sums are kept whatever happens at the same time:
///
/// - on one host the communication thread of the rank that asked changes both ranks' memory, chunk
///   by chunk (512 KB), under the locks of both;
/// - between hosts i sends a chunk of its model, j computes m, applies its half and answers m, and
///   i applies its own. Unless events are atomic, nobody waits, a few chunks are in flight at a
///   time, and a rank serves while it asks.
///
/// Events touch a *communication copy* only. Of a relative method what they change is kept relative
/// to the model, and added to it when its owner takes it in, between open() and close(); of another
/// one the copy is the state itself, and open() copies it to the model. A forward or backward pass
/// never sees a moving model. Chunks that no event touched cost the owner of a relative method
/// nothing.
///
/// Memory: the model itself, a copy for each vector of the algorithm's state, and for edges between
/// hosts up to 128 chunks.
///
/// Collective: construction, drain() and destruction. Threads: the owner's functions one at a
/// time; events run in the group's communication thread.
class PairExchange {
 public:
  /// Destruction drops events that are still going on: drain() before, for exact sums.
  /// `shapes`: types and sizes of the model's vectors. The exchange is open at first, and the model
  /// zero.
  PairExchange(transport::Group& group, std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
               const std::vector<VectorView>& shapes, PairExchangeOptions options);
  PairExchange(const PairExchange&) = delete;
  PairExchange& operator=(const PairExchange&) = delete;
  ~PairExchange();

  // --- the memory of this rank: for the local update

  /// This rank's model; its owner reads it at any time and changes it while the exchange is open.
  [[nodiscard]] std::vector<VectorView> model() const { return chunks_.model(); }

  /// A further vector of this rank's state, from 1, while the exchange is open. Of a relative
  /// method it is relative to the model.
  [[nodiscard]] std::vector<VectorView> state(int index) const { return chunks_.state(index); }

  /// Keeps events away from this rank's memory until close(). Blocks while one is in the middle of
  /// a chunk. Throws what the communication thread could not go on with, and TimeoutError naming
  /// who holds a chunk for too long; then it is closed.
  void open();

  /// Adds to the model what events did, of a relative method, or takes it over as the state; chunk
  /// by chunk; and lets events go on. Local.
  void close();

  /// Brings the model up to date with what events did, chunk by chunk. Local.
  void take_in();

  // --- events with one peer: for who paces them. Local; none blocks. Throw gossip::Error, naming
  // --- it, for a rank that is no peer.

  /// Asks for one event with `peer`; it begins when the last one with it is over. Of two ranks on
  /// different hosts only one should ask: two requests that cross each other swap what they should
  /// average. False, and counted as skipped, when already one waits for its turn or `peer` is lost.
  bool request(Rank peer);

  /// The same, but behind all those before: none is left out, but for those with a rank that is
  /// lost.
  void enqueue(Rank peer);

  /// Withdraws what enqueue() asked for and did not begin yet, of all peers.
  void cancel_queued();

  /// Whether an event with `peer` that this rank asked for is still to come or going on.
  [[nodiscard]] bool is_pending(Rank peer) const;

  /// Events with `peer` so far, started by either side, that are over on this rank; without those
  /// that did nothing because one of the two was paused.
  [[nodiscard]] std::int64_t events_with(Rank peer) const;

  /// From now on this rank takes part in at most `events` more events with `peer`, and those that
  /// began before; at first, and after drain(), in any number. What would be more waits, but not
  /// longer than a second.
  void set_credit(Rank peer, std::int64_t events);

  /// Whether an event that this rank asked for found a peer paused, since drain() or
  /// forget_paused() last ended.
  [[nodiscard]] bool has_met_paused() const noexcept { return has_met_paused_; }
  void forget_paused() noexcept { has_met_paused_ = false; }

  // --- what ranks do together

  /// One event of plain averaging to which both ranks come, with the exchange open on both: \f$ x_i
  /// \leftarrow x_i - \alpha m,\ x_j \leftarrow x_j + \alpha m \f$ directly on the models, half of
  /// the pass each. They share memory. Blocks until both models are done. Throws TimeoutError
  /// naming the peer.
  void average_with(Rank peer, double alpha = 0.5);

  /// Waits until all events of all ranks are over, and takes them in; the exchange is open then.
  /// It must be closed before. Collective and blocking; this rank serves others meanwhile, as
  /// PairChunks::pause() says.
  void drain();

  // --- how it goes

  /// Throws what the communication thread could not go on with.
  void check() const;

  /// Counts the owner's steps, for the age of what is merged.
  void set_step(std::int64_t step) noexcept { step_ = step; }

  [[nodiscard]] Counters counters() const;

  /// Of this rank among those of the exchange; its neighbors are the peers.
  [[nodiscard]] Membership& membership() noexcept { return membership_; }
  [[nodiscard]] const Membership& membership() const noexcept { return membership_; }

  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  /// Events with a peer that are asked for and not over: the next one waits behind the present one,
  /// so that there is no gap between them.
  static constexpr int kMostPending = 2;
  /// Chunks that a rank has asked for and that were not answered yet, for each event: enough to
  /// fill the wire, few enough for the second half of an event to come soon.
  static constexpr std::size_t kWindow = 16;
  static constexpr std::size_t kCacheLine = 64;

  /// The traffic with one peer.
  struct Stream {
    Stream(Rank rank, bool is_on_this_host) : peer(rank), shares_memory(is_on_this_host) {}
    Rank peer;
    bool shares_memory;
    std::atomic<int> pending{0};  // events asked for and not over: one goes on, one is behind it
    std::atomic<int> queued{0};   // more, behind these
    int started = 0;              // of those pending
    bool has_met_paused = false;  // one of those started
    bool is_given_up = false;     // the peer is lost, and what was in flight counted so
    std::size_t first = 0;        // chunk that the started events begin with
    std::size_t next = 0;         // chunks asked for, of all of them
    std::size_t answered = 0;     // of these
    std::size_t served = 0;       // chunks of the peer's events
    std::optional<RunningClock::time_point> asked_since;   // when an event began to wait for credit
    std::optional<RunningClock::time_point> served_since;  // the same of the peer's
    std::array<std::int64_t, kMostPending> started_at{};   // of each, the step
    std::optional<transport::Message> request;             // of the peer, while it cannot be served
    std::optional<transport::Message> answer;  // of the peer, while it cannot be applied
  };
  /// What a rank keeps about another one, where the ranks of its host read it.
  struct alignas(kCacheLine) Ledger {
    // How many calls of average_with() it came to and did its half of.
    std::atomic<std::uint64_t> arrived{0};
    std::atomic<std::uint64_t> done{0};
    std::atomic<std::int64_t> events{0};  // with the other rank; see events_of()
    std::atomic<std::int64_t> limit{std::numeric_limits<std::int64_t>::max()};  // of its events
  };

  // The owner's side.
  [[nodiscard]] Stream& stream_to(Rank peer) const;
  [[nodiscard]] Ledger& ledger(Rank of, Rank with) const;
  [[nodiscard]] std::atomic<std::int64_t>& events_of(const Stream& stream) const;
  void wait_for(Rank peer, const std::atomic<std::uint64_t>& count, std::uint64_t number) const;
  void wait_until_idle() const;
  [[nodiscard]] std::string pending_peers() const;

  // The communication thread's.
  transport::Activity poll();
  bool advance(Stream& stream);
  void start(Stream& stream);
  void begin_queued(Stream& stream);
  void give_up(Stream& stream);
  [[nodiscard]] bool has_credit(const Stream& stream) const;
  [[nodiscard]] bool must_wait(const Stream& stream,
                               std::optional<RunningClock::time_point>& since) const;
  bool advance_in_memory(Stream& stream);
  bool ask(Stream& stream);
  bool serve(Stream& stream);
  bool collect(Stream& stream);
  [[nodiscard]] std::optional<std::span<std::byte>> slot_for(Rank peer, std::size_t chunk,
                                                             transport::Channel& channel) const;
  void note_paused(Stream& stream);
  void finish(Stream& stream);
  void watch(const Stream& stream, bool has_moved);

  gossip::detail::Lifetime lifetime_;
  transport::Group& group_;
  PairExchangeOptions options_;
  Rank rank_;
  Membership membership_;
  PairChunks chunks_;
  std::unique_ptr<transport::Region> ledgers_;
  std::vector<std::uint64_t> averages_;  // by rank: calls of average_with()
  std::vector<std::unique_ptr<Stream>> streams_;
  std::unique_ptr<transport::Channel> requests_;  // none on one host
  std::unique_ptr<transport::Channel> answers_;
  std::atomic<std::int64_t> step_{0};
  std::atomic<bool> is_draining_{false};
  std::atomic<bool> has_met_paused_{false};
  SplitMix64 random_;
  mutable std::mutex mutex_;  // of what follows
  Counters counters_;
  std::exception_ptr error_;
  bool is_open_ = true;
  std::unique_ptr<transport::Background::Work> work_;
};

}  // namespace gossip::engine
