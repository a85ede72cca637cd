// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <new>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/narrow.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/mpi/serial.h>
#include <libgossip/transport/mean_ring.h>

namespace gossip::transport {
namespace {

/// No MPI grants fewer than 32767.
constexpr std::size_t kTags = 32'749;

/// A message that Open MPI sends over TCP at once, without asking the receiver first.
constexpr std::size_t kPieceBytes = std::size_t{60} << 10U;

/// Of a chunk.
constexpr std::size_t kMostPieces = 8;

/// A rank brings at most so many pieces into a ring at a time, those of two passes, so that with
/// one slot more somebody can always receive.
constexpr std::size_t kReceiveSlots = 2 * kMostPieces + 2;
constexpr std::size_t kInjectSlots = kMostPieces;

/// For the messages that are still in flight when a ring ends.
constexpr std::chrono::seconds kLastMessages{5};

}  // namespace

/// The communication thread has nothing to do while another one drives the means.
class MeanRing::Waiting {
 public:
  explicit Waiting(MeanRing& ring) : ring_(ring) { ++ring_.waiting_; }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    --ring_.waiting_;
    ring_.background_.wake();  // what arrived last may have to go on
  }

 private:
  MeanRing& ring_;
};

class MeanRing::RingMean final : public Mean {
 public:
  RingMean(const std::shared_ptr<MeanRing>& present, const VectorView& vector, const MeanWait& wait,
           bool works_on_copy)
      : present_(present), ring_(present), wait_(wait), vector_(vector), sum_(vector) {
    if (works_on_copy) {
      copy_.resize(vector.bytes() / sizeof(std::max_align_t) + 1);
      sum_.data = copy_.data();
    }
    job_ = ring_->make_job(sum_);
  }
  ~RingMean() override { ring_->give_up(*job_); }

  void start() override {
    if (is_copied() && vector_.size > 0) std::memcpy(sum_.data, vector_.data, vector_.bytes());
    if (ring_ != present_) {  // the ranks have met since one of them gave up a mean
      ring_ = present_;
      job_ = ring_->make_job(sum_);
    }
    wait_.start();
    ring_->start(job_);
  }

  void progress() override { static_cast<void>(ring_->drive(*job_)); }

  void await() override;

  void take() override {
    if (is_copied() && vector_.size > 0) std::memcpy(vector_.data, sum_.data, vector_.bytes());
  }

 private:
  [[nodiscard]] bool is_copied() const { return sum_.data != vector_.data; }

  const std::shared_ptr<MeanRing>& present_;
  std::shared_ptr<MeanRing> ring_;  // of the last start
  MeanWait wait_;
  VectorView vector_;
  VectorView sum_;  // the vector, or a copy of it
  std::vector<std::max_align_t> copy_;
  std::shared_ptr<Job> job_;
};

void MeanRing::RingMean::await() {
  const Waiting waiting(*ring_);
  try {
    wait_.await([this](const Deadline& deadline, const std::function<void()>& while_waiting) {
      return wait_until(
          deadline, [this] { return ring_->drive(*job_); }, while_waiting);
    });
  } catch (...) {
    ring_->give_up(*job_);  // whoever handles this may let the vector go
    job_ = ring_->make_job(sum_);
    throw;
  }
}

MeanRing::MeanRing(mpi::Communicator communicator, const std::vector<std::vector<Rank>>& hosts,
                   Background& background)
    : communicator_(std::move(communicator)),
      background_(background),
      plan_(hosts, communicator_.rank(), kPieceBytes, kMostPieces),
      round_(plan_.passes().front().first_round),
      arrivals_(kReceiveSlots) {
  for (std::size_t i = 0; i < kReceiveSlots + kInjectSlots; ++i) release(static_cast<int>(i));
}

MeanRing::~MeanRing() {
  thread_.reset();
  const auto is_over = [this] {
    advance();
    return started_.empty() && sends_.empty();
  };
  const bool is_in_order = !error_ && !is_disturbed_ && started_.empty() && !lifetime_.ends_alone();
  try {
    if (is_in_order && wait_until(Deadline(kLastMessages), is_over)) return;
  } catch (const Error& error) {
    log(LogLevel::kError, communicator_.rank(), "the end of the means between hosts: {}",
        error.what());
  }
  communicator_.leave();
  // MPI may still use it.
  static_cast<void>(new std::vector<std::byte>(std::move(memory_)));
}

std::unique_ptr<Mean> MeanRing::make_mean(const std::shared_ptr<MeanRing>& present,
                                          const VectorView& vector, const MeanWait& wait,
                                          bool works_on_copy) {
  return std::make_unique<RingMean>(present, vector, wait, works_on_copy);
}

void MeanRing::begin() {
  if (thread_) return;
  memory_.resize((kReceiveSlots + kInjectSlots) * kPieceBytes);
  thread_ = background_.add([this] { return look(); }, [](const std::exception_ptr&) {});
}

bool MeanRing::is_disturbed() {
  const auto lock = mpi::Serial::lock(mutex_);
  return is_disturbed_;
}

void MeanRing::retire() {
  const auto lock = mpi::Serial::lock(mutex_);
  is_disturbed_ = true;
}

bool MeanRing::is_faster_for(const VectorView& vector, int ranks) noexcept {
  constexpr std::size_t kLeastChunk = std::size_t{4} << 10U;
  return vector.bytes() >= static_cast<std::size_t>(ranks) * kLeastChunk;
}

std::shared_ptr<MeanRing::Job> MeanRing::make_job(const VectorView& vector) {
  begin();
  return std::make_shared<Job>(
      Job{vector, plan_.cut(vector), narrow<int>(vector.bytes() / sizeof(float) % kTags)});
}

void MeanRing::start(const std::shared_ptr<Job>& job) {
  {
    const auto lock = mpi::Serial::lock(mutex_);
    GOSSIP_ASSERT(job->is_over, "a mean was started again before its end");
    GOSSIP_CHECK(!is_disturbed_, "{}", kGaveUpBefore);
    if (job->vector.size == 0) return;
    job->is_over = false;
    started_.push_back(job);
    advance();
  }
  background_.wake();
}

bool MeanRing::drive(const Job& job) {
  const auto lock = mpi::Serial::lock(mutex_);
  advance();
  return job.is_over;
}

/// What MPI reads and writes are the slots, so that the vector can go as soon as there is a copy.
void MeanRing::give_up(Job& job) noexcept {
  const auto lock = mpi::Serial::lock(mutex_);
  if (job.is_over) return;
  is_disturbed_ = true;
  try {
    const auto* bytes = static_cast<const std::byte*>(job.vector.data);
    job.copy.assign(bytes, bytes + job.vector.bytes());
    job.vector.data = job.copy.data();
  } catch (const std::bad_alloc&) {
    error_ = std::current_exception();  // nothing of this ring goes on
  }
}

Activity MeanRing::look() {
  mpi::Serial::make_brief_calls();
  if (waiting_ > 0) return Activity::kIdle;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return Activity::kIdle;
  if (advance()) return Activity::kMoved;
  return started_.empty() && sends_.empty() ? Activity::kIdle : Activity::kUnderWay;
}

/// All that can be done without waiting. Returns whether there was something. After an error of MPI
/// there is nothing any more but that error.
bool MeanRing::advance() {
  if (error_) std::rethrow_exception(error_);
  bool has_moved = false;
  try {
    for (bool moves = true; moves; has_moved |= moves) {
      moves = collect();
      moves |= take_arrivals();
      moves |= inject();
      moves |= post_receives();
    }
  } catch (...) {
    error_ = std::current_exception();
    throw;
  }
  return has_moved;
}

bool MeanRing::collect() {
  finished_.clear();
  receives_.poll(finished_);
  bool has_moved = !finished_.empty();
  for (const std::uint64_t number : finished_) {
    std::ranges::find(arrivals_, static_cast<int>(number), &Arrival::slot)->is_here = true;
  }
  finished_.clear();
  sends_.poll(finished_);
  for (const std::uint64_t number : finished_) release(static_cast<int>(number));
  return has_moved || !finished_.empty();
}

bool MeanRing::take_arrivals() {
  bool has_moved = false;
  while (num_arrivals_ > 0 && arrivals_[first_arrival_].is_here) {
    if (injecting_.number == taking_.number) break;  // this rank's own pieces go out first
    take(arrivals_[first_arrival_].slot);
    arrivals_[first_arrival_] = {};
    first_arrival_ = (first_arrival_ + 1) % arrivals_.size();
    --num_arrivals_;
    has_moved = true;
  }
  return has_moved;
}

void MeanRing::take(int place) {
  const RingPass& way = pass(taking_);
  const VectorView own = piece(taking_, round_ + 1, piece_);
  visit(own, [&]<class T>(std::span<T> values) {
    const std::span<T> arrived(reinterpret_cast<T*>(slot(place).data()), values.size());
    if (way.adds(round_)) kernels::axpby<T>(1.0, values, 1.0, arrived);
    const double share = 1.0 / static_cast<double>(plan_.num_ranks());
    if (way.makes_means(round_)) kernels::scale(arrived, share);
    if (way.completes(round_)) std::ranges::copy(arrived, values.begin());
  });
  if (way.is_last(round_)) {
    release(place);
  } else {
    send(place, own.bytes(), taking_);
  }
  if (++piece_ < started_.front()->cut.pieces) return;
  piece_ = 0;
  if (++round_ < way.end_round) return;
  finish_pass();
}

void MeanRing::finish_pass() {
  step(taking_);
  round_ = pass(taking_).first_round;
  if (taking_.mean == 0) return;
  started_.front()->is_over = true;
  started_.erase(started_.begin());
  for (Place* place : {&posting_, &injecting_, &taking_}) --place->mean;
}

/// From one pass to the next one of all means.
void MeanRing::step(Place& place) const {
  ++place.number;
  if (++place.pass < plan_.passes().size()) return;
  place.pass = 0;
  if (++place.block < started_[place.mean]->cut.blocks) return;
  place.block = 0;
  ++place.mean;
}

bool MeanRing::inject() {
  bool has_moved = false;
  for (; may_inject(); has_moved = true) {
    const VectorView own = piece(injecting_, pass(injecting_).first_round, injected_);
    const int place = free_to_inject_.back();
    free_to_inject_.pop_back();
    std::memcpy(slot(place).data(), own.data, own.bytes());
    send(place, own.bytes(), injecting_);
    if (++injected_ < started_[injecting_.mean]->cut.pieces) continue;
    injected_ = 0;
    step(injecting_);
  }
  return has_moved;
}

/// Whether everything before it in the sequence has gone out, and what it brings is there.
bool MeanRing::may_inject() const {
  if (injecting_.mean == started_.size() || free_to_inject_.empty()) return false;
  if (injecting_.number == taking_.number) return true;
  return injecting_.number == taking_.number + 1 && pass(taking_).is_last(round_) &&
         !pass(injecting_).needs_the_last;
}

bool MeanRing::post_receives() {
  bool has_moved = false;
  for (; posting_.mean < started_.size() && !free_to_receive_.empty(); has_moved = true) {
    const int place = free_to_receive_.back();
    free_to_receive_.pop_back();
    receives_.receive(communicator_, slot(place), pass(posting_).previous,
                      started_[posting_.mean]->tag, static_cast<std::uint64_t>(place));
    arrivals_[(first_arrival_ + num_arrivals_++) % arrivals_.size()] = {place, false};
    if (++posted_ < pass(posting_).num_rounds() * started_[posting_.mean]->cut.pieces) continue;
    posted_ = 0;
    step(posting_);
  }
  return has_moved;
}

void MeanRing::send(int place, std::size_t bytes, const Place& of) {
  sends_.send(communicator_, slot(place).first(bytes), pass(of).next, started_[of.mean]->tag,
              static_cast<std::uint64_t>(place));
}

void MeanRing::release(int place) {
  const bool receives = static_cast<std::size_t>(place) < kReceiveSlots;
  (receives ? free_to_receive_ : free_to_inject_).push_back(place);
}

VectorView MeanRing::piece(const Place& place, std::size_t round, std::size_t index) const {
  const Job& job = *started_[place.mean];
  return plan_.piece(job.vector, job.cut, place.block, pass(place).chunk(round), index);
}

std::span<std::byte> MeanRing::slot(int index) {
  return std::span(memory_).subspan(static_cast<std::size_t>(index) * kPieceBytes, kPieceBytes);
}

}  // namespace gossip::transport
