// SPDX-License-Identifier: Apache-2.0
// How a run is saved; checkpointer_resume.cpp has how it is resumed.
#include <algorithm>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/train/checkpointer.h>
#include <libgossip/train/module_state.h>
#include <libgossip/transport/agreement.h>

namespace gossip::train {
namespace {

std::string dtype_of(const model::NamedTensor& entry) {
  switch (entry.tensor.scalar_type()) {
    case at::kDouble:
      return "F64";
    case at::kFloat:
      return "F32";
    case at::kHalf:
      return "F16";
    case at::kBFloat16:
      return "BF16";
    case at::kLong:
      return "I64";
    case at::kInt:
      return "I32";
    case at::kShort:
      return "I16";
    case at::kChar:
      return "I8";
    case at::kByte:
      return "U8";
    case at::kBool:
      return "BOOL";
    default:
      throw Error(fmt::format("The tensor '{}' is {}, which a checkpoint cannot hold.", entry.name,
                              model::description_of(entry.tensor)));
  }
}

void copy_to(std::byte* memory, const at::Tensor& tensor) {
  if (tensor.numel() == 0) return;
  if (tensor.is_cpu() && tensor.is_contiguous()) {
    std::memcpy(memory, tensor.data_ptr(), tensor.nbytes());
  } else {
    const at::NoGradGuard no_grad;
    torch::from_blob(memory, tensor.sizes(), tensor.options().device(at::kCPU)).copy_(tensor);
  }
}

/// Writes into each page, so that the system provides them now.
void touch(std::byte* memory, std::size_t size) {
  constexpr std::size_t kPage = 4096;
  for (std::size_t at = 0; at < size; at += kPage) memory[at] = std::byte{0};
}

}  // namespace

/// What it held is gone.
void Checkpointer::Staging::reserve(std::size_t bytes) {
  if (bytes <= size) return;
  memory.reset();
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
  transport::check_together(group_, [&] {
    GOSSIP_CHECK(!options_.folder.empty(), "No folder for checkpoints was given.");
    GOSSIP_CHECK(
        options_.every_steps >= 0 && options_.every.count() >= 0,
        "Checkpoints every {} steps or {} ms: it must be a positive number, or 0 for none.",
        options_.every_steps, options_.every.count());
    GOSSIP_CHECK(options_.keep >= 1, "Of the checkpoints {} are to be kept: it must be at least 1.",
                 options_.keep);
  });
}

Checkpointer::~Checkpointer() {
  if (!is_open_ || std::uncaught_exceptions() > exceptions_) return;
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

void Checkpointer::take_folder() {
  transport::check_together(group_, [&] {
    if (group_.rank() == 0) folder_ = std::make_unique<CheckpointFolder>(options_.folder);
  });
  run_ = group_.all_gather(folder_ ? folder_->run() : "").front();
  agreement_ = std::make_unique<SaveAgreement>(group_, optimizer_.is_synchronous());
  if (folder_) folder_->remove_incomplete();
}

/// Paused, since a rank that takes the folder stands still, and one that trains may wait for it.
void Checkpointer::start() {
  optimizer_.paused([&] {
    take_folder();
    transport::check_together(group_, [&] {
      const std::vector<std::int64_t> old =
          folder_ ? complete_sets(options_.folder) : std::vector<std::int64_t>{};
      GOSSIP_CHECK(
          old.empty(),
          "The folder '{}' holds the checkpoints of an earlier run, '{}' the newest of them: "
          "resume from it (--resume), or give this run another folder.",
          options_.folder.string(), set_name(old.back()));
    });
  });
  is_open_ = true;
  last_save_ = Clock::now();
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

/// Copies the state, and has it written.
void Checkpointer::save(std::int64_t number) {
  if (number == saved_) return;
  const Clock::time_point begin = Clock::now();
  writer_.wait();  // it may still read the last copy
  const model::StateDict state = this->state();
  std::vector<TensorInfo> tensors;
  std::unordered_map<std::string_view, const at::Tensor*> live;
  for (const model::NamedTensor& entry : state.tensors) {
    tensors.push_back(
        {.name = entry.name, .dtype = dtype_of(entry), .shape = entry.tensor.sizes().vec()});
    live.emplace(entry.name, &entry.tensor);
  }
  const std::size_t bytes = place(tensors);
  staging_.reserve(bytes);
  for (const TensorInfo& tensor : tensors) {
    copy_to(staging_.memory.get() + tensor.offset_bytes, *live.at(tensor.name));
  }
  RankRecord record{.run = run_,
                    .step = number,
                    .ranks = group_.size(),
                    .rank = group_.rank(),
                    .steps = optimizer_.steps(),
                    .weight = optimizer_.weight(),
                    .values = state.values};
  writer_.add([this, number, bytes, record = std::move(record), tensors = std::move(tensors)] {
    if (folder_) folder_->check();
    write_rank(set_folder(number), record, tensors, {staging_.memory.get(), bytes});
    written_ = number;
  });
  saved_ = number;
  if (folder_) unfinished_.push_back(number);
  last_save_ = Clock::now();
  stalled_seconds_ += seconds_between(begin, last_save_);
}

/// All ranks have the sets up to `number` on the disk: rank 0 has them declared complete.
void Checkpointer::note_written(std::int64_t number) {
  while (!unfinished_.empty() && unfinished_.front() <= number) {
    writer_.add([this, set = unfinished_.front()] {
      folder_->check();
      write_manifest(set_folder(set), run_, set, group_.size());
      folder_->keep_newest(static_cast<std::size_t>(options_.keep));
      folder_->remove_incomplete(set);
    });
    unfinished_.pop_front();
  }
}

/// Makes room for the copy of the state as large as it is now.
void Checkpointer::reserve_early() {
  if (!writer_.is_idle()) return;
  std::size_t bytes = 0;
  for (const model::NamedTensor& entry : state().tensors) bytes += entry.tensor.nbytes();
  if (bytes <= staging_.size) return;
  staging_.reserve(bytes);
  writer_.add([memory = staging_.memory.get(), bytes] { touch(memory, bytes); });
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
  const std::int64_t now = before_.number + optimizer_.job_steps();
  return periods(now) > periods(std::max(saved_, before_.number)) ? Wish::kSave : Wish::kNone;
}

bool Checkpointer::after_step() {
  if (!is_open_) start();
  writer_.check();
  const std::int64_t step = optimizer_.steps();
  const bool is_synchronous = optimizer_.is_synchronous();
  const std::int64_t number = before_.number + step;
  if (is_synchronous && options_.every_steps > 0 && number % options_.every_steps == 0)
    save(number);
  if (staging_.size == 0) reserve_early();
  if (const auto agreed = agreement_->read(step)) {
    note_written(agreed->written);
    if (agreed->wish != Wish::kNone && !is_synchronous) {
      bool are_all_done = false;
      if (meet(false, are_all_done)) return stop();
    } else if (agreed->wish != Wish::kNone) {
      save(number);
      if (agreed->wish == Wish::kSaveAndStop) return stop();
    }
    reserve_early();
  }
  agreement_->start(step, wish(), written_);
  return false;
}

/// All ranks together, with nothing on its way between them: saves if one of them wants it. True
/// when the run is to stop.
bool Checkpointer::meet(bool is_done, bool& are_all_done) {
  bool stops = false;
  optimizer_.paused([&] {
    agreement_->drain();
    Wish agreed = Wish::kNone;
    std::int64_t job_steps = 0;
    are_all_done = true;
    for (const std::string& text : group_.all_gather(fmt::format(
             "{} {} {}", static_cast<int>(wish()), is_done ? 1 : 0, optimizer_.steps()))) {
      std::istringstream stream(text);
      int wish = 0;
      int done = 0;
      std::int64_t steps = 0;
      stream >> wish >> done >> steps;
      agreed = std::max(agreed, static_cast<Wish>(wish));
      are_all_done = are_all_done && done == 1;
      job_steps += steps;
    }
    if (agreed == Wish::kNone || are_all_done) return;  // a run that is over needs no set
    save(before_.number + (optimizer_.is_synchronous() ? optimizer_.steps() : job_steps));
    stops = agreed == Wish::kSaveAndStop;
  });
  return stops;
}

bool Checkpointer::finish() {
  if (is_finished_) return is_stopped_;
  if (!is_open_) start();
  for (bool are_all_done = false; !are_all_done;) {
    if (meet(true, are_all_done)) return stop();
  }
  complete();
  is_finished_ = true;
  return false;
}

bool Checkpointer::stop() {
  complete();
  is_stopped_ = is_finished_ = true;
  if (group_.rank() == 0) {
    log(LogLevel::kInfo, 0, "stopped by a signal; all is saved in '{}'",
        set_folder(saved_).string());
  }
  return true;
}

/// Waits until all that was saved is on the disk and complete.
void Checkpointer::complete() {
  transport::check_together(group_, [&] { writer_.wait(); });
  std::int64_t written = written_;
  for (const std::string& text : group_.all_gather(std::to_string(written))) {
    written = std::min(written, static_cast<std::int64_t>(std::stoll(text)));
  }
  note_written(written);
  transport::check_together(group_, [&] { writer_.wait(); });
}

}  // namespace gossip::train
