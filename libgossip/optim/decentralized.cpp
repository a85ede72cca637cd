// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include <torch/optim/lbfgs.h>
#include <torch/types.h>

#include <libgossip/base/alone.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/engine/model_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/optim/borrowed_groups.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/transport/agreement.h>

namespace gossip::optim {
namespace {

/// Name, size and weights of a topology in one line, for comparing ranks.
std::string description_of(const topology::Schedule& schedule) {
  constexpr int kMostRounds = 64;
  const int rounds = schedule.period() > 0 ? std::min(schedule.period(), kMostRounds) : kMostRounds;
  std::string weights;
  topology::Neighborhood neighborhood;
  for (int round = 0; round < rounds; ++round) {
    for (Rank rank = 0; rank < schedule.size(); ++rank) {
      schedule.neighborhood(round, rank, neighborhood);
      for (const topology::Neighbor& sender : neighborhood.in) {
        weights += fmt::format("{} {} {};", rank, sender.rank, sender.weight);
      }
    }
  }
  return fmt::format("'{}' for {} ranks (weights {:08x})", schedule.name(), schedule.size(),
                     static_cast<std::uint32_t>(std::hash<std::string>{}(weights)));
}

/// None where the options do not override get_lr().
std::optional<double> learning_rate_of(const torch::optim::OptimizerOptions& options) {
  try {
    return options.get_lr();
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

}  // namespace

/// Methods that only read the gradient find it where it lies; the others work on a copy.
class Decentralized::Port final : public engine::ModelPort {
 public:
  explicit Port(Decentralized& optimizer) : optimizer_(optimizer), model_(*optimizer.flat_model_) {}

  [[nodiscard]] std::vector<VectorView> model() override { return model_.parameters(); }
  void local_update() override { optimizer_.step_locally(); }
  void local_update_along(const std::vector<VectorView>& direction) override {
    const model::LentGradient lent(model_, direction);
    optimizer_.step_locally();
  }
  [[nodiscard]] double learning_rate() override {
    return optimizer_.learning_rate_for(optimizer_.name_);
  }
  [[nodiscard]] const std::vector<VectorPiece>& find_gradient() override {
    return model_.find_gradient();
  }
  [[nodiscard]] std::vector<VectorView> gradient() override { return model_.gradients(); }
  std::size_t load_gradient() override {
    model_.gather_gradients();
    std::size_t bytes = 0;
    for (const VectorView& view : model_.parameters()) bytes += 2 * view.bytes();
    return bytes;
  }

  /// And for each parameter whether this rank has a gradient of it. Of one rank nothing.
  [[nodiscard]] std::vector<VectorView> gradient_to_average() override {
    if (optimizer_.group_.size() == 1) return {};
    std::vector<float>& presence = *optimizer_.gradient_presence_;
    presence.resize(model_.entries().size() + 1);
    std::vector<VectorView> result = model_.separate_gradients();
    result.insert(result.begin(), std::span<float>(presence));
    return result;
  }
  [[nodiscard]] std::shared_ptr<const void> gradient_memory() override {
    if (optimizer_.group_.size() == 1) return nullptr;
    using Both = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
    return std::make_shared<const Both>(optimizer_.gradient_presence_, model_.gradient_memory());
  }
  bool average_gradient() override {
    optimizer_.synchronize();
    return true;
  }

 private:
  Decentralized& optimizer_;
  model::FlatModel& model_;
};

Decentralized::Decentralized(transport::Group& group, torch::nn::Module& module,
                             std::unique_ptr<torch::optim::Optimizer> local,
                             const std::function<StagedMethod()>& make_method,
                             const topology::Schedule& schedule, const Settings& settings)
    : Decentralized(
          group, module, std::move(local), [&] { return make_staged(make_method(), settings); },
          schedule, settings) {}

Decentralized::Decentralized(transport::Group& group, torch::nn::Module& module,
                             std::unique_ptr<torch::optim::Optimizer> local,
                             const std::function<MakeWorker()>& plan,
                             const topology::Schedule& schedule, const Settings& settings)
    : Optimizer(local->param_groups(), local->defaults().clone()),
      group_(group),
      timeout_(settings.timeout),
      local_(std::move(local)),
      name_(settings.name),
      options_(settings.text) {
  const CollectiveCall call = construction(timeout_);
  MakeWorker make_worker;
  transport::check_together(group_, [&] {
    GOSSIP_CHECK(settings.timeout.count() > 0, "The timeout is {} ms: it must be positive.",
                 settings.timeout.count());
    flat_model_ = std::make_unique<model::FlatModel>(module);
    make_worker = plan();
    check_local_optimizer();
    check_groups();
  });
  transport::require_agreement(group_, "model", flat_model_->description());
  transport::require_agreement(group_, "topology", description_of(schedule));
  transport::require_agreement(group_, "optimizer",
                               fmt::format("'{}' with {}", name_, settings.text));
  start_alike(settings.initial);
  port_ = std::make_unique<Port>(*this);
  worker_ = make_worker(*port_);
  try {
    flat_model_->move_to(worker_->model_memory());
    worker_->prepare();
  } catch (...) {
    flat_model_->move_to_own_memory();  // the worker's goes
    throw;
  }
}

Decentralized::MakeWorker Decentralized::make_staged(const StagedMethod& method,
                                                     const Settings& settings) {
  if (method.algorithm->uses_learning_rate()) {
    static_cast<void>(learning_rate_for(method.algorithm->name()));
  }
  return [=, this](engine::ModelPort& port) {
    if (method.algorithm->mixing_needs() != algorithm::MixingNeeds::kNone) {
      transport::require_agreement(
          group_, "mixing matrices",
          description_of(method.matrices.pull) + " and " + description_of(method.matrices.push));
    }
    return std::make_unique<engine::StagedWorker>(
        group_, method.algorithm, method.matrices, port,
        engine::StagedWorkerOptions{.timeout = settings.timeout,
                                    .bucket_bytes = settings.bucket_bytes,
                                    .on_lost_neighbor = settings.on_lost_neighbor,
                                    .codec = method.codec});
  };
}

engine::StagedWorker& Decentralized::staged_worker() noexcept {
  return static_cast<engine::StagedWorker&>(*worker_);
}

std::optional<double> Decentralized::learning_rate() const {
  if (param_groups_.empty()) return std::nullopt;
  return learning_rate_of(param_groups_.front().options());
}

double Decentralized::learning_rate_for(std::string_view method) const {
  std::optional<double> first;
  for (const torch::optim::OptimizerParamGroup& parameters : param_groups_) {
    const std::optional<double> rate = learning_rate_of(parameters.options());
    GOSSIP_CHECK(rate,
                 "'{}' needs the learning rate, but the options of the local optimizer tell none: "
                 "override get_lr() in them, as those of SGD and Adam do.",
                 method);
    if (!first) first = rate;
    GOSSIP_CHECK(*rate == *first,
                 "The parameter groups have the learning rates {} and {}, but '{}' needs one for "
                 "all.",
                 *first, *rate, method);
  }
  GOSSIP_CHECK(
      first, "There are no parameter groups, but '{}' needs the learning rate of one: add a group.",
      method);
  return *first;
}

/// Methods may put another vector in the gradient's place first, so that the loss cannot be
/// evaluated from here on.
void Decentralized::step_locally() {
  const BorrowedGroups borrowed(*this, *local_);
  try {
    local_->step();
  } catch (const std::bad_function_call&) {
    throw Error(
        "The local optimizer called an empty function: if that is the closure of its step(), as "
        "in SAM, it cannot be the local optimizer. step(closure) evaluates the loss once, before "
        "the method and the local optimizer use the gradient: evaluate it elsewhere before step(), "
        "with GradientAt, and use SGD, Adam, AdamW, Adagrad or RMSprop.");
  }
}

Decentralized::~Decentralized() {
  if (!worker_) return;
  const CollectiveCall call = this->call("the destructor of the optimizer");
  bool is_in_order = false;
  if (std::uncaught_exceptions() == 0) {
    try {
      worker_->leave();
      group_.meet({});
      is_in_order = true;
    } catch (const std::exception& error) {
      log(LogLevel::kError, group_.rank(), "the optimizer was not ended in order: {}",
          error.what());
    }
  }
  flat_model_->move_to_own_memory();
  const gossip::detail::EndsAlone alone(!is_in_order);
  worker_.reset();
  if (!is_in_order) return;
  try {
    group_.meet({});  // means that went while in flight are no other optimizer's concern
  } catch (const std::exception& error) {
    log(LogLevel::kError, group_.rank(), "after the end of the optimizer: {}", error.what());
  }
}

/// A timeout that is none is refused inside.
CollectiveCall Decentralized::construction(std::chrono::milliseconds timeout) {
  return {"the constructor of the optimizer", timeout.count() > 0 ? Patience(timeout) : Patience()};
}

CollectiveCall Decentralized::call(std::string_view name) const {
  return {name, timeout_, steps(), is_synchronous() && !has_failed_step_};
}

void Decentralized::check_local_optimizer() const {
  GOSSIP_CHECK(
      dynamic_cast<const torch::optim::LBFGS*>(local_.get()) == nullptr,
      "LBFGS cannot be the local optimizer: it evaluates the loss several times a step and its "
      "line search "
      "assumes that nobody else moves the model. Use SGD, Adam, AdamW, Adagrad or RMSprop.");
  for (const torch::optim::OptimizerParamGroup& parameters : param_groups_) {
    const std::optional<double> rate = learning_rate_of(parameters.options());
    GOSSIP_CHECK(!rate || (std::isfinite(*rate) && *rate >= 0.0),
                 "The learning rate is {}: it must be a number of at least 0.", *rate);
  }
}

/// All that the local optimizer trains is mixed. Groups may change between steps.
void Decentralized::check_groups() const {
  for (const torch::optim::OptimizerParamGroup& parameters : param_groups_) {
    for (const at::Tensor& tensor : parameters.params()) {
      GOSSIP_CHECK(flat_model_->contains(tensor) || !tensor.requires_grad(),
                   "The local optimizer has a trainable parameter of shape {} that is not a "
                   "parameter of the module{}, so it would train without being mixed: make {}.",
                   fmt::join(tensor.sizes(), "x"), worker_ ? " as it was at construction" : "",
                   worker_ ? "a new optimizer after adding layers"
                           : "the local optimizer with module.parameters()");
    }
  }
}

torch::Tensor Decentralized::step(LossClosure closure) {
  GOSSIP_CHECK(away_ == Away::kNo,
               "step() was called inside {}, where no rank trains: call it before or after.",
               away_ == Away::kMean ? "with_mean_model()" : "paused()");
  torch::Tensor loss;
  if (closure && needs_gradient()) {
    const at::AutoGradMode with_gradients(true);
    loss = closure();
  }
  const CollectiveCall call = this->call("step()");
  flat_model_->restore_aliases();
  check_groups();
  if (needs_gradient()) {
    divergence_.look(*flat_model_, loss, group_.rank(), steps() + 1, has_mean_gradient());
  }
  const policy::Decision decision{.communicates = !is_suspended()};
  worker_->check_finish(decision);
  has_failed_step_ = true;  // unless it ends
  worker_->finish(decision);
  worker_->prepare(decision);
  has_failed_step_ = false;
  return loss;
}

void Decentralized::paused(const std::function<void()>& body) {
  refuse_inside_mean("paused()");
  const CollectiveCall call = this->call("paused()");
  while_away(Away::kPaused, [&] {
    complete_started();
    body();
    // torch::load() gives tensors other memory, and others mix ours.
    flat_model_->restore_aliases();
  });
}

/// Calls `work` while this rank does not train. What `work` throws comes before an error of coming
/// back.
void Decentralized::while_away(Away where, const std::function<void()>& work) {
  const Away outer = away_;
  bool have_met = false;
  const auto come_back = [&] {
    if (outer == Away::kNo) have_met ? worker_->come_back() : worker_->come_back_alone();
  };
  try {
    if (outer == Away::kNo) worker_->leave();
    group_.meet({});
    have_met = true;
    away_ = where;
    work();
  } catch (...) {
    away_ = outer;
    try {
      come_back();
    } catch (const std::exception& error) {
      log(LogLevel::kError, group_.rank(), "training cannot go on: {}", error.what());
    }
    throw;
  }
  away_ = outer;
  come_back();
}

void Decentralized::refuse_inside_mean(std::string_view call) const {
  GOSSIP_CHECK(away_ != Away::kMean,
               "{} was called inside with_mean_model(), where the module holds the mean of all "
               "ranks instead of this rank's own model: call it before or after.",
               call);
}

bool Decentralized::needs_gradient() const { return worker_->needs_gradient(); }

engine::Counters Decentralized::counters() const { return worker_->counters(); }

std::int64_t Decentralized::steps() const { return worker_->position().step; }

double Decentralized::weight() const { return worker_->position().weight; }

std::int64_t Decentralized::job_steps() const { return worker_->job_steps(); }

bool Decentralized::is_synchronous() const { return worker_->is_synchronous(); }

std::size_t Decentralized::memory_bytes() const { return worker_->memory_bytes(); }

}  // namespace gossip::optim
