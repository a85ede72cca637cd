// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How ranks make sure that they are in the same collective call.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/types.h>
#include <libgossip/mpi/mailbox.h>

namespace gossip::transport {

/// Where a rank has come to.
struct Place {
  std::string call;                             ///< as a user calls it; may be empty
  std::string what;                             ///< the collective call inside of it; may be empty
  std::int64_t step = CollectiveCall::kNoStep;  ///< that the rank has made
  bool is_in_step = false;                      ///< it must be the same on all ranks
  bool asks = false;                            ///< for what meet() returns

  /// The thread's CollectiveCall, and this inside of it.
  [[nodiscard]] static Place here(std::string_view what);
};

/// "with_mean_model() after 5 steps".
[[nodiscard]] std::string describe(const Place& place);

/// The sentence about two ranks that have come to different places; empty where they may go on.
[[nodiscard]] std::string difference(Rank first, const Place& at, Rank other, const Place& there);

/// The place where the ranks of a group meet before they start a collective call: each tells rank 0
/// where it has come to, and goes on when that says so. What differs, and who does not come, is
/// told to all ranks. The meetings are numbered, so that a rank that comes late learns how the one
/// that it comes to has ended. A meeting that was lost at another place than a rank's own, since
/// others came there alone, is none of its: it goes on to the next number.
///
/// Collective: construction, meet() and destruction. Threads: one at a time.
class Meeting {
 public:
  /// Takes the communicator over.
  explicit Meeting(mpi::Communicator communicator);
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;
  ~Meeting();

  /// Blocks until all ranks have come here; after ten seconds it says for whom it waits. Returns
  /// whether one of them asks. Throws JointError, on every rank that has come or will come to this
  /// meeting, when two are at different places, and TimeoutError when one does not come, on every
  /// rank that has come or will come here. Where rank 0 is missing, it throws up to a second after
  /// the timeout: the others might be going on with this rank. When they are, what `while_waiting`
  /// has thrown meanwhile is dropped.
  [[nodiscard]] bool meet(const Place& place, const Patience& patience);

  /// Numbers the waits on the step path, of which all ranks make the same ones in the same order.
  /// Local.
  [[nodiscard]] std::uint64_t next_wait() noexcept { return ++last_wait_; }

  /// Gives those to come the same numbers on all ranks, some of which may have made fewer; after a
  /// meeting. Local.
  void renumber_waits() noexcept { last_wait_ = number_ << 32U; }

  /// For a long one of these: tells the other ranks that this one is in it. Does not block.
  void tell_waiting(std::uint64_t wait);

  /// Those that have not told so, as "ranks 1, 2"; empty when all have. Local; does not block.
  [[nodiscard]] std::string missing_in(std::uint64_t wait);

  [[nodiscard]] const mpi::Communicator& communicator() const noexcept {
    return mailbox_.communicator();
  }

 private:
  enum class Kind : std::uint32_t {
    kHere,     ///< a rank has come
    kGone,     ///< it waits no longer
    kWaiting,  ///< rank 0 is there; for whom it waits
    kGo,       ///< all are there
    kDiffer,   ///< they must not go on: the sentence why
    kLost,     ///< a rank has not come to this place: the sentence for those who do
    kInWait,   ///< a rank is in this wait
  };

  static constexpr std::size_t kTextBytes = 64;

  /// One record of a message; its text may take several.
  struct Part {
    std::uint64_t meeting = 0;
    std::int64_t step = 0;
    Kind kind = Kind::kHere;
    std::uint16_t is_in_step = 0;
    std::uint16_t asks = 0;
    std::int32_t peer = -1;        // kGone, kLost: the rank that has not come
    std::uint32_t text_bytes = 0;  // of the whole text
    char text[kTextBytes] = {};
  };
  static_assert(sizeof(Part) <= mpi::Mailbox::kBytes);

  struct Message {
    Part head;
    std::string text;

    /// Those of kHere and kLost, whose texts begin with the place.
    [[nodiscard]] Place place() const;
    [[nodiscard]] std::string sentence() const;
  };

  /// Another rank, as rank 0 knows it.
  struct Attendance {
    bool is_here = false;
    bool is_with_first = false;  // it was here when rank 0 was
    Place place = {};
    std::string why_gone = {};  // empty: it is not
    Rank peer = -1;             // for whom it waited then
  };

  [[nodiscard]] Rank rank() const { return communicator().rank(); }
  [[nodiscard]] int size() const { return communicator().size(); }
  [[nodiscard]] bool lead(const Place& place, const Patience& patience);
  [[nodiscard]] bool follow(const Place& place, const Patience& patience);
  void come(const Place& place);
  [[nodiscard]] Place latest(Place place);
  void lead_past_lost(const Place& place);
  void follow_past_lost(const Place& place);
  [[nodiscard]] bool goes_after_all(Rank peer, std::string_view why, const Patience& patience);
  void look();
  void take(Rank from, const Message& message);
  void send(const Part& head, std::string_view text, Rank to);
  void tell_others(const Part& head, std::string_view text);
  void tell_lost(const Place& place, Rank peer, std::string_view why);
  [[nodiscard]] Part part_about(const Place& place, Kind kind) const;
  [[nodiscard]] std::vector<Attendance>& attendances(std::uint64_t meeting);
  [[nodiscard]] bool are_all_here(const Place& place);
  void tell_for_whom();
  [[nodiscard]] std::string for_whom(const Place& place) const;
  [[nodiscard]] static std::string who(const std::vector<Rank>& missing);
  [[nodiscard]] std::string stopped(const Place& place, const std::exception& error) const;
  [[noreturn]] void give_up(const Place& place, double seconds);

  mpi::Mailbox mailbox_;
  std::uint64_t number_ = 0;         // of this rank's present or last meeting
  bool is_clean_ = true;             // this rank knows of nothing under way of ended meetings
  std::vector<Message> incomplete_;  // by sender
  std::map<std::uint64_t, std::vector<Attendance>> attendances_;  // rank 0: by meeting, by rank
  std::map<std::uint64_t, Message> verdicts_;                     // the others: by meeting
  std::uint64_t last_wait_ = 0;
  std::vector<std::uint64_t> waits_;  // by rank: the last one that it told of
  std::string missing_;               // for whom this meeting waits, as far as this rank knows
  Rank missing_rank_ = 0;             // the first of them
};

}  // namespace gossip::transport
