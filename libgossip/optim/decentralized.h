// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What all decentralized optimizers share.

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torch/optim/optimizer.h>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/base/collective_call.h>
#include <libgossip/engine/counters.h>
#include <libgossip/engine/worker.h>
#include <libgossip/model/flat_model.h>
#include <libgossip/model/local_state.h>
#include <libgossip/model/state_dict.h>
#include <libgossip/optim/divergence_notice.h>
#include <libgossip/policy/on_lost_neighbor.h>
#include <libgossip/topology/matrices.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {
class ModelPort;
class StagedWorker;
}  // namespace gossip::engine

namespace gossip::kernels {
class Codec;
}  // namespace gossip::kernels

namespace gossip::optim {

/// The model that each rank starts from.
enum class Initial {
  kBroadcast,  ///< rank 0's parameters and buffers; the default
  kMean,       ///< the mean of all ranks' (of integer buffers rank 0's)
  kKeep,       ///< each rank's own; for experiments that need different starts
};

/// How a synchronous method is run.
struct StagedMethod {
  std::shared_ptr<const algorithm::Algorithm> algorithm;
  topology::Matrices matrices;
  std::shared_ptr<kernels::Codec> codec = {};  ///< of what it compresses
};

/// A torch::optim::Optimizer that runs a local optimizer on every rank and communicates with other
/// ranks.
///
/// It owns the local optimizer's parameter groups: schedulers (StepLR, ReduceLROnPlateau) and
/// changes of the learning rate act on *this* object and reach the local optimizer at the next
/// step. The usual loop stays as it is, zero_grad() included:
///
///     optimizer.zero_grad();
///     loss(model, batch).backward();
///     optimizer.step();
///
/// Gradients of several batches may be accumulated under no_sync(); gradients may be clipped after
/// synchronize().
///
/// A loss, gradient or model that is NaN or infinite is a warning with rank and step, once a rank
/// (DivergenceNotice).
///
/// Collective: construction and destruction over the group, with_mean_model() and
/// consensus_distance(); step() waits for this step's neighbors, and all ranks make the same number
/// of steps. Collective calls wait as long as the optimizer's timeout, and throw on every rank when
/// ranks are in different ones (the destructor logs that). Threads: one per rank. Errors:
/// gossip::Error at construction, on all ranks alike, for LBFGS, a model without trainable
/// parameters, a topology that the method cannot use, an option out of range, and ranks whose
/// models or settings differ; from step() for a parameter that was unfrozen, got another shape or
/// type, or came into a group after construction, since it would train without being mixed, and
/// when the local optimizer calls a closure of its own, as SAM does; TimeoutError from step() when
/// a neighbor does not come.
///
/// The module must outlive this object, and may be changed before it goes: it is left with the
/// values that it has. Tensors that the program kept of it (`p.detach()`) stay readable.
class Decentralized : public torch::optim::Optimizer {
 public:
  ~Decentralized() override;

  /// One step of the local optimizer and the communication that belongs to it. A closure is called
  /// first, with gradients enabled, and its loss returned; otherwise the result is an undefined
  /// tensor.
  torch::Tensor step(LossClosure closure = nullptr) override;

  /// Completes what backward passes started, so that gradients may be read or clipped before
  /// step(). With `AllReduce` the gradients are the mean over all ranks afterwards; other methods
  /// have nothing to complete.
  virtual void synchronize() {}

  /// Suspends communication as long as it lives: backward passes only accumulate, synchronize()
  /// does nothing, step() only steps locally. All ranks do so for the same steps.
  class [[nodiscard]] NoSync {
   public:
    explicit NoSync(Decentralized& optimizer) : optimizer_(optimizer) { ++optimizer_.suspended_; }
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;
    ~NoSync() { --optimizer_.suspended_; }

   private:
    Decentralized& optimizer_;
  };
  NoSync no_sync() { return NoSync(*this); }

  /// Calls `body` while no rank trains and nothing is on its way: to save or load a checkpoint of
  /// an asynchronous method. `body` may call the other functions, this one too, but not step().
  /// Collective and blocking.
  void paused(const std::function<void()>& body);

  /// Calls `body` while the module holds the mean of all ranks' parameters (or of what the method
  /// shows in place of them) and floating-point buffers, then puts this rank's own back, also when
  /// `body` throws, and whatever it did to the module. Backward passes in `body` only accumulate.
  /// step(), paused(), consensus_distance(), state_dict(), loading and this function are refused
  /// there. Collective and blocking. Throws gossip::Error for a trainable parameter that was
  /// registered after construction, and for a buffer that cannot be averaged. Memory: two copies of
  /// the model and one of buffers and frozen parameters meanwhile.
  void with_mean_model(const std::function<void()>& body);

  /// \f$ \sqrt{\frac1n \sum_i |x_i - \bar x|^2} \f$ over the parameters. Collective and blocking.
  /// Throws as with_mean_model(). Memory: one copy of the model meanwhile.
  [[nodiscard]] double consensus_distance();

  /// Whether the next step() reads the gradient. With device sampling a rank that is not active
  /// need not compute one; step(closure) then does not call the closure.
  [[nodiscard]] bool needs_gradient() const;

  /// What communication cost this rank so far.
  [[nodiscard]] engine::Counters counters() const;

  /// Steps finished.
  [[nodiscard]] std::int64_t steps() const;

  /// Steps of all ranks together, as far as this rank knows. Asynchronous runs end when it reaches
  /// their budget; it then is a moment behind. After a load another rank counts once it has told
  /// where it goes on. Local, does not block.
  [[nodiscard]] std::int64_t job_steps() const;

  /// Whether all ranks make the same steps. Otherwise each goes on at its own pace, and a state is
  /// whole inside paused() only.
  [[nodiscard]] bool is_synchronous() const;

  /// How much this rank's model counts in the mean over the ranks: its push-sum weight; 1 with
  /// other methods. Local.
  [[nodiscard]] double weight() const;

  /// The learning rate of the first parameter group; none where there is no group, or its options
  /// do not tell one (get_lr()). Local.
  [[nodiscard]] std::optional<double> learning_rate() const;

  /// Name as in the factory: "gossip-sgd".
  [[nodiscard]] std::string_view name() const noexcept { return name_; }

  [[nodiscard]] const model::FlatModel& flat_model() const noexcept { return *flat_model_; }

  /// Bytes that this rank holds for communication, besides the model itself.
  [[nodiscard]] std::size_t memory_bytes() const;

  /// How long it waits for other ranks: the option of the same name.
  [[nodiscard]] std::chrono::milliseconds timeout() const noexcept { return timeout_; }

  /// All that training goes on with, to the bit, beside the module's own tensors: the method and
  /// its options, step, round and push-sum weight, the method's vectors, and options and state of
  /// the local optimizer. The tensors are the live ones. Local; with asynchronous methods inside
  /// paused(), where nothing is on its way. Throws gossip::Error after a step that failed in the
  /// middle, until a state is loaded or a step ends: the method's vectors belong to no step.
  [[nodiscard]] model::StateDict state_dict() const;

  /// Reads a state that state_dict() gave, and returns what writes it: so that one can check
  /// several things before the first of them is changed. Throws gossip::Error, and changes nothing,
  /// for the state of another method, other options, another local optimizer or another model; the
  /// message names what differs. `state` and this object must outlive the result. Local, as
  /// state_dict().
  [[nodiscard]] std::function<void()> plan_load(const model::StateDict& state);

  /// plan_load(), at once.
  void load_state_dict(const model::StateDict& state) { plan_load(state)(); }

  /// How many states were loaded so far. Local.
  [[nodiscard]] std::int64_t loads() const noexcept { return loads_; }

  /// state_dict() in an archive of LibTorch.
  void save(torch::serialize::OutputArchive& archive) const override;

  /// Throws gossip::Error, and changes nothing, as plan_load().
  void load(torch::serialize::InputArchive& archive) override;

 protected:
  /// What the ranks must agree on besides model, topology and method; compared as text.
  struct Settings {
    Initial initial = Initial::kBroadcast;
    std::chrono::milliseconds timeout = std::chrono::minutes(5);
    std::size_t bucket_bytes = std::size_t{4} << 20U;
    policy::OnLostNeighbor on_lost_neighbor = policy::OnLostNeighbor::kError;
    std::string name;  ///< of the method
    std::string text;
  };

  /// Makes the worker that drives the method, with the port to the flat model and the local
  /// optimizer.
  using MakeWorker = std::function<std::unique_ptr<engine::Worker>(engine::ModelPort& port)>;

  /// `plan` checks the options: it may throw gossip::Error, and then all ranks throw.
  Decentralized(transport::Group& group, torch::nn::Module& module,
                std::unique_ptr<torch::optim::Optimizer> local,
                const std::function<MakeWorker()>& plan, const topology::Schedule& schedule,
                const Settings& settings);

  /// A synchronous method. `make_method` may throw gossip::Error for options out of range; all
  /// ranks then throw. `schedule` is what the ranks must agree on.
  Decentralized(transport::Group& group, torch::nn::Module& module,
                std::unique_ptr<torch::optim::Optimizer> local,
                const std::function<StagedMethod()>& make_method,
                const topology::Schedule& schedule, const Settings& settings);

  /// What makes the worker of a synchronous method. Throws gossip::Error where the local optimizer
  /// does not tell the learning rate that the method needs.
  [[nodiscard]] MakeWorker make_staged(const StagedMethod& method, const Settings& settings);

  /// What the collective calls of a constructor belong to while the result lives.
  [[nodiscard]] static CollectiveCall construction(std::chrono::milliseconds timeout);

  /// What this rank's collective calls belong to while the result lives; `name` as users call it.
  [[nodiscard]] CollectiveCall call(std::string_view name) const;

  [[nodiscard]] bool is_suspended() const noexcept { return suspended_ > 0 || away_ != Away::kNo; }
  [[nodiscard]] transport::Group& group() const noexcept { return group_; }
  [[nodiscard]] model::FlatModel& mutable_flat_model() noexcept { return *flat_model_; }
  [[nodiscard]] engine::Worker& worker() noexcept { return *worker_; }

  /// The worker of a synchronous method.
  [[nodiscard]] engine::StagedWorker& staged_worker() noexcept;

  /// The vectors whose mean over the ranks with_mean_model() shows.
  [[nodiscard]] virtual std::vector<VectorView> evaluated() { return flat_model_->parameters(); }

  /// Completes collective operations that a backward pass started, before others start.
  virtual void complete_started() {}

  /// Whether the gradients hold the mean over the ranks before the step takes it.
  [[nodiscard]] virtual bool has_mean_gradient() const { return false; }

  /// For methods that replace the gradients by that mean before the step.
  [[nodiscard]] DivergenceNotice& divergence() noexcept { return divergence_; }

  /// Whether step() is under way, or failed in the middle.
  [[nodiscard]] bool is_in_step() const noexcept { return has_failed_step_; }

  /// Adds what a method keeps besides its worker's state.
  virtual void add_state(model::StateDict& /*state*/) const {}

  /// Reads that and returns what writes it. Throws gossip::Error, and changes nothing, when it does
  /// not fit.
  [[nodiscard]] virtual std::function<void()> plan_more(model::StateReader& /*saved*/) {
    return [] {};
  }

  /// Travels with the gradient's mean: 1 for each parameter that has a gradient on this rank, else
  /// 0.
  /// The last number is not a parameter's: a method may use it as it likes.
  [[nodiscard]] std::vector<float>& gradient_presence() noexcept { return *gradient_presence_; }

 private:
  class Port;

  /// Where this rank is while it does not train.
  enum class Away { kNo, kPaused, kMean };

  [[nodiscard]] double learning_rate_for(std::string_view method) const;
  void step_locally();
  void start_alike(Initial initial);
  void show_mean();
  void while_away(Away where, const std::function<void()>& work);
  void refuse_inside_mean(std::string_view call) const;
  void check_local_optimizer() const;
  void check_groups() const;
  [[nodiscard]] model::ParameterName parameter_names() const;
  [[nodiscard]] std::function<void()> plan_worker(model::StateReader& saved);
  void warn_unless_local_saves() const;

  transport::Group& group_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<torch::optim::Optimizer> local_;
  std::string name_;
  std::string options_;  // as text
  std::unique_ptr<model::FlatModel> flat_model_;
  std::shared_ptr<std::vector<float>> gradient_presence_ = std::make_shared<std::vector<float>>();
  std::unique_ptr<engine::ModelPort> port_;
  std::unique_ptr<engine::Worker> worker_;
  DivergenceNotice divergence_;
  int suspended_ = 0;
  std::int64_t loads_ = 0;
  /// In the middle: the ranks may have made different numbers, and the state belongs to none.
  bool has_failed_step_ = false;
  mutable bool has_looked_at_save_ = false;  // of the local optimizer
  Away away_ = Away::kNo;
};

/// A local optimizer given by value, as in GossipSGD(session, *model, torch::optim::SGD(...), ...).
template <class Local>
concept LocalOptimizer = std::derived_from<Local, torch::optim::Optimizer>;

}  // namespace gossip::optim
