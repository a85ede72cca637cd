// SPDX-License-Identifier: Apache-2.0
// How a run is saved; checkpointer_resume.cpp has how it is resumed.
#include <algorithm>
#include <exception>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/checkpoint/module_state.h>
#include <libgossip/checkpoint/saved_tensor.h>
#include <libgossip/transport/agreement.h>

namespace gossip::checkpoint {
namespace {

/// Writes into each page, so that the system provides them now.
void touch(std::byte* memory, std::size_t size) {
  constexpr std::size_t kPage = 4096;
  for (std::size_t at = 0; at < size; at += kPage) memory[at] = std::byte{0};
}

/// The tensors of a state with their places in a file. Throws gossip::Error for what a set cannot
/// hold.
std::vector<TensorInfo> infos_of(const model::StateDict& state) {
  std::unordered_set<std::string_view> names;
  for (const NamedValue& entry : state.values) {
    GOSSIP_CHECK(names.insert(entry.name).second,
                 "Two values have the name '{}': only one of them could be saved.", entry.name);
  }
  std::vector<TensorInfo> tensors;
  for (const model::NamedTensor& entry : state.tensors) tensors.push_back(info_of(entry));
  place(tensors);
  return tensors;
}

}  // namespace

/// What it held is gone.
void Checkpointer::Staging::reserve(std::size_t bytes) {
  if (bytes <= size) return;
  memory.reset();
  size = 0;
  memory = std::make_unique_for_overwrite<std::byte[]>(bytes);
  size = bytes;
}

Checkpointer::Checkpointer(transport::Group& group, torch::nn::Module& module,
                           optim::Decentralized& optimizer, CheckpointOptions options)
    : group_(group),
      module_(module),
      optimizer_(optimizer),
      options_(std::move(options)),
      exceptions_(std::uncaught_exceptions()) {
  const CollectiveCall call("the constructor of the Checkpointer", optimizer_.timeout());
  transport::check_together(group_, [&] {
    GOSSIP_CHECK(!options_.folder.empty(), "No folder for checkpoints was given.");
    GOSSIP_CHECK(
        options_.every_steps >= 0 && options_.every.count() >= 0,
        "Checkpoints every {} steps or {} ms: it must be a positive number, or 0 for none.",
        options_.every_steps, options_.every.count());
    GOSSIP_CHECK(options_.keep >= 1, "Of the checkpoints {} are to be kept: it must be at least 1.",
                 options_.keep);
  });
  // What the ranks do together follows from these; of the others one rank's are enough.
  transport::require_agreement(group_, "options of the checkpoints",
                               fmt::format("every_steps {}\nresumes_from_mean {}",
                                           options_.every_steps, options_.resumes_from_mean));
}

Checkpointer::~Checkpointer() {
  if (!is_open_ || is_broken_ || std::uncaught_exceptions() > exceptions_) return;
  try {
    static_cast<void>(finish());
  } catch (const std::exception& error) {
    log(LogLevel::kError, group_.rank(), "the checkpoints were not ended in order: {}",
        error.what());
  }
}

void Checkpointer::add(std::string name, Part part) {
  GOSSIP_CHECK(!is_open_, "'{}' is to be saved, but it must be added before resume() or start().",
               name);
  GOSSIP_CHECK(name.find('.') == std::string::npos,
               "'{}' cannot be the name of something to be saved: it has a full stop.", name);
  GOSSIP_CHECK(std::ranges::none_of(parts_, [&](const auto& other) { return other.first == name; }),
               "There are two things named '{}' to be saved.", name);
  parts_.emplace_back(std::move(name), std::move(part));
}

std::filesystem::path Checkpointer::set_folder(std::int64_t number) const {
  return options_.folder / set_name(number);
}

/// What save() would refuse is refused before the run begins.
void Checkpointer::check_state() const {
  transport::check_together(group_, [&] {
    GOSSIP_CHECK(!is_open_, "This Checkpointer has started or resumed a run already.");
    static_cast<void>(safetensors_header(infos_of(state()), {}));
  });
}

/// Takes the folder for this run, unless `check` throws, which it does on all ranks or none.
void Checkpointer::take_folder(const std::function<void()>& check) {
  transport::check_together(group_, [&] {
    if (group_.rank() == 0) folder_ = std::make_unique<CheckpointFolder>(options_.folder);
  });
  try {
    run_ = group_.all_gather(folder_ ? folder_->run() : "").front();
    transport::check_together(group_, [&] { check_is_shared(options_.folder, run_); });
    if (!agreement_) {
      agreement_ = std::make_unique<SaveAgreement>(group_, optimizer_.is_synchronous(),
                                                   optimizer_.timeout());
    }
    check();
  } catch (const JointError&) {
    folder_.reset();
    throw;
  }
  if (folder_) folder_->remove_incomplete();
  is_open_ = true;
  last_steps_ = optimizer_.steps();
  last_loads_ = optimizer_.loads();
  last_save_ = Clock::now();
}

/// Paused, since a rank that takes the folder stands still, and one that trains may wait for it.
void Checkpointer::start() {
  const auto take_new_folder = [&] {
    group_.meet("start()");
    check_state();
    transport::check_together(group_, [&] {
      if (group_.rank() != 0) return;
      const std::vector<std::int64_t> old = complete_sets(options_.folder);
      GOSSIP_CHECK(
          old.empty(),
          "The folder '{}' holds the checkpoints of an earlier run, '{}' the newest of them: "
          "resume from it (--resume), or give this run another folder.",
          options_.folder.string(), set_name(old.back()));
    });
    take_folder([] {});
  };
  together("Checkpointer::start()", [&] { optimizer_.paused(take_new_folder); });
}

model::StateDict Checkpointer::state() const {
  model::StateDict result;
  result.add_part("module.", module_state(module_));
  result.add_part("optimizer.", optimizer_.state_dict());
  for (const auto& [name, part] : parts_) result.add_part("program." + name + ".", part.save());
  result.add("run.random", random_state());
  result.add("run.steps_before", Value(before_.steps));
  result.add("run.job_steps_before", Value(before_.job_steps));
  result.add("run.number_before", Value(before_.number));
  return result;
}

/// Whether the program has taken the optimizer back to an earlier state (load_state_dict()).
void Checkpointer::look_for_return() {
  const std::int64_t steps = optimizer_.steps();
  const std::int64_t loads = optimizer_.loads();
  has_returned_ |= loads != last_loads_ && steps <= last_steps_;
  last_steps_ = steps;
  last_loads_ = loads;
}

/// The number of a set after so many steps since `before_`. A number that was given stands for one
/// state: a run that has returned to an earlier state, or whose set failed, goes on from the newest
/// number. So no set is written into another one, wherever the run is killed, and the newest set is
/// of what the run did last. The same on all ranks.
std::int64_t Checkpointer::number_after(std::int64_t steps, bool has_returned) {
  const std::int64_t number = before_.number + steps;
  const bool is_saved = number == saved_ && !has_returned && !failed_.contains(saved_);
  if (number <= saved_ && !is_saved) before_.number = saved_ + 1 - steps;
  has_returned_ = false;
  return before_.number + steps;
}

/// steps(), but so that those of all ranks are together all steps of the job: of steps before a
/// resume with another number of ranks there may be a few more than each one's share.
std::int64_t Checkpointer::counted_steps() const {
  const std::int64_t more = before_.job_steps - before_.steps * group_.size();
  return steps() + (group_.rank() < more ? 1 : 0);
}

/// Copies the state, and has it written. What goes wrong on this rank only is told later, when all
/// ranks hear of it.
void Checkpointer::save(std::int64_t number) {
  if (number == saved_) return;
  const Clock::time_point begin = Clock::now();
  await_writers();  // one may still read its last copy
  try {
    copy_and_write(number);
  } catch (...) {
    writer_.add(number, [error = std::current_exception()] { std::rethrow_exception(error); });
  }
  writer_.add(number, [this, number] { settled_ = number; });
  saved_ = number;
  begun_.push_back(number);
  last_save_ = Clock::now();
  stalled_seconds_ += seconds_between(begin, last_save_);
}

void Checkpointer::copy_and_write(std::int64_t number) {
  const model::StateDict state = this->state();
  std::unordered_map<std::string_view, const at::Tensor*> live;
  std::size_t bytes = 0;
  for (const model::NamedTensor& entry : state.tensors) live.emplace(entry.name, &entry.tensor);
  std::vector<TensorInfo> tensors = infos_of(state);
  for (const TensorInfo& tensor : tensors) bytes += tensor.bytes;
  staging_.reserve(bytes);
  for (const TensorInfo& tensor : tensors) {
    copy_to(staging_.memory.get() + tensor.offset_bytes, *live.at(tensor.name));
  }
  RankRecord record{.run = run_,
                    .step = number,
                    .ranks = group_.size(),
                    .rank = group_.rank(),
                    .steps = counted_steps(),
                    .weight = optimizer_.weight(),
                    .values = state.values};
  writer_.add(number,
              [this, number, bytes, record = std::move(record), tensors = std::move(tensors)] {
                if (folder_) folder_->check();
                write_rank(set_folder(number), record, tensors, {staging_.memory.get(), bytes});
              });
}

/// All ranks have the sets up to `number` on the disk, or have told that they failed: rank 0 has
/// them declared complete, or removed.
void Checkpointer::note_settled(std::int64_t number) {
  for (; !begun_.empty() && begun_.front() <= number; begun_.pop_front()) {
    const std::int64_t set = begun_.front();
    if (!folder_) continue;
    if (failed_.contains(set)) {
      writer_.add(set, [this, set] {
        folder_->check();
        folder_->remove_incomplete(set + 1);
      });
    } else {
      writer_.add(set, [this, set] { make_complete(set); });
    }
  }
}

void Checkpointer::make_complete(std::int64_t set) {
  folder_->check();
  try {
    write_manifest(set_folder(set), run_, set, group_.size());
  } catch (...) {
    folder_->remove_incomplete(set + 1);
    throw;
  }
  folder_->keep_newest(static_cast<std::size_t>(options_.keep));
  folder_->remove_incomplete(set);
}

/// All ranks together: what has failed on one of them is known to all. It is thrown when all is
/// done that they do together.
void Checkpointer::share_failures() {
  std::vector<std::int64_t> own;
  std::string why;
  for (const BackgroundWriter::Failure& failure : writer_.take_failures()) {
    own.push_back(failure.set);
    if (why.empty()) why = failure.why;
  }
  const std::vector<std::vector<std::int64_t>> sets = group_.all_gather(own);
  const std::vector<std::string> reasons = group_.all_gather(why);
  for (std::size_t rank = 0; rank < sets.size(); ++rank) {
    failed_.insert(sets[rank].begin(), sets[rank].end());
    if (sets[rank].empty() || !failure_.empty()) continue;
    failure_ = fmt::format("The checkpoint '{}' could not be saved. {}{}",
                           set_folder(sets[rank].front()).string(),
                           rank == 0 ? "" : fmt::format("On rank {}: ", rank), reasons[rank]);
  }
}

void Checkpointer::throw_failure() {
  if (!failure_.empty()) throw JointError(std::exchange(failure_, ""));
}

/// Makes room for the copy of the state as large as it is now. What is refused only since a step
/// has made it is told now, rather than when the next set is due.
void Checkpointer::reserve_early() {
  if (writer_.current()) return;
  try {
    std::size_t bytes = 0;
    for (const TensorInfo& tensor : infos_of(state())) bytes += tensor.bytes;
    if (bytes <= staging_.size) return;
    staging_.reserve(bytes);
    writer_.add(saved_, [memory = staging_.memory.get(), bytes] { touch(memory, bytes); });
  } catch (const std::exception& error) {  // the next set that is due meets it again
    if (std::exchange(has_warned_, true)) return;
    log(LogLevel::kWarning, group_.rank(), "the next checkpoint would fail: {}", error.what());
  }
}

/// Waits until no rank writes or reads, however long that takes: a rank that does says so many
/// times a second, and one that is silent is missed.
void Checkpointer::await_writers() {
  constexpr std::chrono::milliseconds kBetweenWords{100};
  constexpr std::chrono::seconds kBetweenNotices{10};
  const Clock::time_point begin = Clock::now();
  Clock::time_point noticed = begin;
  while (true) {
    writer_.wait_for(kBetweenWords);
    constexpr std::int64_t kNone = -1;
    const std::vector<std::int64_t> sets = group_.all_gather(writer_.current().value_or(kNone));
    const auto busy = std::ranges::find_if(sets, [](std::int64_t set) { return set != kNone; });
    if (busy == sets.end()) return;
    if (group_.rank() != 0 || Clock::now() - noticed < kBetweenNotices) continue;
    noticed = Clock::now();
    log(LogLevel::kInfo, 0, "rank {} is still busy with '{}' after {:.0f} s; all wait for it",
        busy - sets.begin(), set_folder(*busy).string(), seconds_between(begin, noticed));
  }
}

Wish Checkpointer::wish() const {
  if (StopSignals::received() != 0) return Wish::kSaveAndStop;
  // In milliseconds: the longest period in the clock's own unit would overflow.
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - last_save_);
  if (options_.every.count() > 0 && since >= options_.every) return Wish::kSave;
  if (options_.every_steps == 0 || optimizer_.is_synchronous()) return Wish::kNone;
  // The product of the two may be too large.
  const auto periods = [&](std::int64_t steps) {
    return steps / group_.size() / options_.every_steps;
  };
  if (has_returned_) return Wish::kSave;  // the sets that there are tell of what was given up
  const std::int64_t now = before_.number + optimizer_.job_steps();
  return periods(now) > periods(std::max(saved_, before_.number)) ? Wish::kSave : Wish::kNone;
}

Report Checkpointer::report() const {
  const std::int64_t settled = settled_;  // first: whoever reports a set tells of its failure, too
  return {.wish = wish(), .settled = settled, .has_failed = writer_.has_failed()};
}

bool Checkpointer::after_step() {
  if (is_stopped_) return true;
  GOSSIP_CHECK(!is_finished_, "after_step() was called after finish(), which ends the saving.");
  if (!is_open_) start();
  const bool stops = together("Checkpointer::after_step()", [&] { return act_after_step(); });
  throw_failure();
  return stops;
}

/// True when the run has stopped.
bool Checkpointer::act_after_step() {
  const std::int64_t step = optimizer_.steps();
  const bool is_synchronous = optimizer_.is_synchronous();
  look_for_return();
  std::int64_t number = 0;  // of a set after this step; the others agree on one when they meet
  if (is_synchronous) {
    number = number_after(step, has_returned_);
    if (options_.every_steps > 0 && number % options_.every_steps == 0) save(number);
  }
  if (staging_.size == 0) reserve_early();
  if (const auto all = agreement_->read(step)) {
    if (is_synchronous ? act_in_step(*all, number) : act_out_of_step(*all)) return stop();
    note_settled(all->settled);
    reserve_early();
  }
  agreement_->start(step, report());
  return false;
}

/// All ranks are in the same step.
bool Checkpointer::act_in_step(const Report& all, std::int64_t number) {
  if (all.has_failed) share_failures();
  if (all.wish != Wish::kNone) save(number);
  return all.wish == Wish::kSaveAndStop;
}

/// They have read the same, and meet if there is something to do.
bool Checkpointer::act_out_of_step(const Report& all) {
  bool are_all_done = false;
  return (all.wish != Wish::kNone || all.has_failed) && meet(false, are_all_done);
}

/// All ranks together, with nothing in flight between them: saves if one of them wants it. True
/// when the run is to stop.
bool Checkpointer::meet(bool is_done, bool& are_all_done) {
  bool stops = false;
  optimizer_.paused([&] {
    agreement_->drain();
    share_failures();
    look_for_return();
    struct Told {
      Wish wish;
      bool is_done;
      bool has_returned;
      std::int64_t steps;
    };
    Wish agreed = Wish::kNone;
    std::int64_t job_steps = 0;
    bool has_any_returned = false;
    are_all_done = true;
    for (const Told& told :
         group_.all_gather(Told{wish(), is_done, has_returned_, optimizer_.steps()})) {
      agreed = std::max(agreed, told.wish);
      are_all_done = are_all_done && told.is_done;
      has_any_returned = has_any_returned || told.has_returned;
      job_steps += told.steps;
    }
    if (agreed == Wish::kNone || are_all_done) return;  // a run that is over needs no set
    save(number_after(optimizer_.is_synchronous() ? optimizer_.steps() : job_steps,
                      has_any_returned));
    stops = agreed == Wish::kSaveAndStop;
  });
  return stops;
}

bool Checkpointer::finish() {
  if (is_finished_) return is_stopped_;
  if (!is_open_) start();
  const bool stops = together("Checkpointer::finish()", [&] { return end(); });
  throw_failure();
  return stops;
}

bool Checkpointer::end() {
  for (bool are_all_done = false; !are_all_done;) {
    if (meet(true, are_all_done)) return stop();
  }
  complete();
  is_finished_ = true;
  return false;
}

/// When the last set has failed, which is to be thrown yet, the run does not stop: the next step
/// tries again.
bool Checkpointer::stop() {
  complete();
  if (!failed_.contains(saved_)) {
    is_stopped_ = is_finished_ = true;
    if (group_.rank() == 0) {
      log(LogLevel::kInfo, 0, "stopped by a signal; all is saved in '{}'",
          set_folder(saved_).string());
    }
  }
  return true;
}

/// Waits until all that was saved is on the disk and complete.
void Checkpointer::complete() {
  await_writers();
  share_failures();
  note_settled(saved_);
  await_writers();
  share_failures();
}

}  // namespace gossip::checkpoint
