// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Saves a run while it goes on, and resumes it.

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/checkpoint/background_writer.h>
#include <libgossip/checkpoint/checkpoint_folder.h>
#include <libgossip/checkpoint/checkpoint_set.h>
#include <libgossip/checkpoint/save_agreement.h>
#include <libgossip/model/state_dict.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/runtime/signals.h>

namespace gossip::checkpoint {

struct CheckpointOptions {
  std::filesystem::path folder = {};  ///< that all ranks see
  /// Steps from one set to the next; 0: none by steps. Asynchronous methods: steps of a rank, on
  /// average over the ranks.
  std::int64_t every_steps = 0;
  std::chrono::milliseconds every =
      std::chrono::milliseconds(0);  ///< time from set to set; 0: none
  int keep = 3;                      ///< complete sets that stay; at least 1
  /// Resumes from the mean model of the ranks whose files are there, also with as many ranks as
  /// before.
  bool resumes_from_mean = false;
};

/// What resume() found.
struct Resumed {
  std::string set;       ///< "step-500"
  bool is_exact = true;  ///< all goes on as it was; else from the mean model
  int ranks = 1;         ///< that the run had
};

/// Saves a run into DIR/step-N/ from time to time and when a signal comes (StopSignals), and
/// resumes it. A set is a consistent cut: with synchronous methods all ranks save in the same step,
/// with asynchronous ones while nothing is on its way. It counts as complete once all ranks have
/// their files on the disk. docs/checkpoints.md has the format and the rules.
///
///     checkpoint::Checkpointer checkpoints(session, *model, *optimizer,
///                                          {.folder = "runs/ck", .every_steps = 500});
///     checkpoints.add("best", best);
///     checkpoints.resume();
///     while (...) {
///       ...; optimizer->step();
///       if (checkpoints.after_step()) return 99;  // a signal came, and the set is written
///     }
///     if (checkpoints.finish()) return 99;
///
/// A program may put an earlier state back (load_state_dict(), on all ranks): the sets after that
/// have numbers above those before, so that the newest one is of what the run did last.
///
/// Training stands still while the state is copied; a thread of its own writes the copy. A set that
/// is due while the last one is still being written waits for it.
///
/// Memory: one copy of the state (the module, the optimizer and what the program adds), made in the
/// background before it is needed.
///
/// Collective: construction, destruction, resume(), start(), finish(); all ranks call after_step()
/// after each of their steps. Threads: one per rank.
///
/// Errors: JointError, on all ranks, with the file's name, also for what the writing thread of one
/// of them met; sets that are complete stay so, and this object can be used on. After any other
/// error (TimeoutError) it cannot, and says so.
class Checkpointer {
 public:
  /// `module` and `optimizer` must outlive this object. Throws JointError for options out of range,
  /// and where the ranks' `every_steps` or `resumes_from_mean` differ.
  Checkpointer(transport::Group& group, torch::nn::Module& module, optim::Decentralized& optimizer,
               CheckpointOptions options);
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  /// As finish(), unless an exception unwinds the stack.
  ~Checkpointer();

  /// What a program saves of its own. `plan` reads what `save` gave and returns what writes it
  /// back; it throws gossip::Error, and changes nothing, where that does not fit.
  struct Part {
    std::function<model::StateDict()> save;
    std::function<std::function<void()>(model::StateReader& saved)> plan;
  };

  /// Before resume() and start(). Parts belong to a rank: they are not resumed from a mean. `save`
  /// is called by resume() and start(), too, to see whether it can be saved.
  void add(std::string name, Part part);

  /// A number or a text, which must outlive this object.
  template <class T>
  requires std::same_as<T, bool> || std::same_as<T, std::int64_t> || std::same_as<T, double> ||
      std::same_as<T, std::string>
  void add(std::string name, T& variable) {
    add(std::move(name),
        Part{.save =
                 [&variable] {
                   model::StateDict state;
                   state.add("value", Value(variable));
                   return state;
                 },
             .plan = [&variable](model::StateReader& saved) -> std::function<void()> {
               return [&variable, value = saved.value<T>("value")] { variable = value; };
             }});
  }

  /// Takes the folder and loads the newest complete set in it; nothing when there is none. With as
  /// many ranks as the set has, all goes on as it was; with another number, from the mean model
  /// (weighted by push-sum weights) with a fresh optimizer. Rank 0 says in the log which.
  ///
  /// Throws JointError, before anything is changed, for the set of another model, optimizer or
  /// program, a set of a newer format, and a damaged one, with what is wrong and what to do; for a
  /// state that cannot be saved; when another run has the folder, or a rank sees another folder.
  /// Then it may be called again, and so may start().
  std::optional<Resumed> resume();

  /// Takes the folder for a run that starts from the beginning. Throws JointError when it holds
  /// complete sets of another run, and as resume(). after_step() does it unless it was done.
  void start();

  /// Saves when it is time. True when a signal came on some rank, and the set is complete: the
  /// program is to end. Throws JointError for a set that some rank could not save, once all know.
  [[nodiscard]] bool after_step();

  /// Ends the training loop of this rank: waits until all ranks are here, saving meanwhile when one
  /// of them wants that, and until all sets are complete, however long a disk takes. True as
  /// after_step(). Throws JointError for a set that some rank could not save, after all is done.
  [[nodiscard]] bool finish();

  /// Steps of this rank, those before a resume with another number of ranks included.
  [[nodiscard]] std::int64_t steps() const { return before_.steps + optimizer_.steps(); }

  /// The same of all ranks together, as far as this one knows.
  [[nodiscard]] std::int64_t job_steps() const {
    return before_.job_steps + optimizer_.job_steps();
  }

  /// How long training stood still for sets so far.
  [[nodiscard]] double stalled_seconds() const noexcept { return stalled_seconds_; }

  /// Bytes of the copy of the state.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return staging_.size; }

 private:
  /// What there was before the optimizer's first step.
  struct Before {
    std::int64_t steps = 0;
    std::int64_t job_steps = 0;
    std::int64_t number = 0;  // of the set resumed from, and more after each return
  };
  struct Staging {
    std::unique_ptr<std::byte[]> memory;
    std::size_t size = 0;
    void reserve(std::size_t bytes);
  };

  /// What the ranks do together. After an error that is not of all ranks they are not together any
  /// more.
  template <class Call>
  auto together(std::string_view name, const Call& call) {
    GOSSIP_CHECK(!is_broken_,
                 "An earlier call failed on this rank alone, or for want of another one: the ranks "
                 "are not together any more, and this Checkpointer saves nothing more.");
    // At paces of their own a rank is in after_step(), another in finish().
    const CollectiveCall named(optimizer_.is_synchronous() ? name : "a call of the Checkpointer",
                               optimizer_.timeout());
    try {
      return call();
    } catch (const JointError&) {
      throw;
    } catch (...) {
      is_broken_ = true;
      throw;
    }
  }

  [[nodiscard]] std::filesystem::path set_folder(std::int64_t number) const;
  void check_state() const;
  void take_folder(const std::function<void()>& check);
  [[nodiscard]] model::StateDict state() const;
  [[nodiscard]] std::function<void()> plan(const model::StateDict& state);
  void check_part(const std::string& entry) const;
  void check_set(std::int64_t number, const std::function<void()>& check);
  void read_set(std::int64_t number, const std::function<void()>& read);
  [[nodiscard]] std::string way_out(std::int64_t number) const;
  [[nodiscard]] std::optional<Resumed> load();
  void load_exactly(std::int64_t number, const Manifest& manifest);
  void load_mean(std::int64_t number, const Manifest& manifest);
  void write_mean(const model::StateDict& live, const std::vector<at::Tensor>& sums,
                  double mean_weight);
  [[nodiscard]] model::StateDict read_state(std::int64_t number, const RankRecord& record);
  [[nodiscard]] std::vector<Rank> ranks_present(std::int64_t number,
                                                const Manifest& manifest) const;
  [[nodiscard]] Wish wish() const;
  [[nodiscard]] Report report() const;
  void look_for_return();
  [[nodiscard]] std::int64_t number_after(std::int64_t steps, bool has_returned);
  [[nodiscard]] std::int64_t counted_steps() const;
  void save(std::int64_t number);
  void copy_and_write(std::int64_t number);
  void note_settled(std::int64_t number);
  void make_complete(std::int64_t set);
  void share_failures();
  void throw_failure();
  void reserve_early();
  void await_writers();
  bool act_after_step();
  bool act_in_step(const Report& all, std::int64_t number);
  bool act_out_of_step(const Report& all);
  bool end();
  bool stop();
  void complete();
  bool meet(bool is_done, bool& are_all_done);

  transport::Group& group_;
  torch::nn::Module& module_;
  optim::Decentralized& optimizer_;
  CheckpointOptions options_;
  StopSignals signals_;
  std::vector<std::pair<std::string, Part>> parts_;
  std::unique_ptr<SaveAgreement> agreement_;
  std::unique_ptr<CheckpointFolder> folder_;  // rank 0's
  std::string run_;
  bool is_open_ = false;
  bool is_broken_ = false;
  bool is_stopped_ = false;
  bool is_finished_ = false;
  bool has_warned_ = false;  // of a set that would fail
  int exceptions_;
  Before before_;
  std::int64_t last_steps_ = 0;             // of the optimizer, when it was last looked at
  std::int64_t last_loads_ = 0;             // the same
  bool has_returned_ = false;               // to an earlier state, after the last set
  std::int64_t saved_ = -1;                 // the last set begun
  std::deque<std::int64_t> begun_;          // and not known to be settled on all ranks
  std::set<std::int64_t> failed_;           // on some rank
  std::string failure_;                     // to be thrown, on all ranks
  std::atomic<std::int64_t> settled_ = -1;  // on this rank: on the disk, or failed
  Clock::time_point last_save_ = Clock::now();
  double stalled_seconds_ = 0.0;
  Staging staging_;
  BackgroundWriter writer_;  // last: it ends first
};

}  // namespace gossip::checkpoint
