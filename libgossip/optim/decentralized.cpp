// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>
#include <unordered_set>
#include <utility>

#include <torch/optim/lbfgs.h>
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/optim/borrowed_groups.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/transport/agreement.h>

namespace gossip::optim {
namespace {

/// Tells the other ranks, while it lives, that this one does not train.
class Away {
 public:
  explicit Away(engine::Worker& worker) : worker_(worker) { worker_.leave(); }
  Away(const Away&) = delete;
  Away& operator=(const Away&) = delete;
  ~Away() { worker_.come_back(); }

 private:
  engine::Worker& worker_;
};

/// A vector's contents, put back at the end.
class Snapshot {
 public:
  explicit Snapshot(const VectorView& vector)
      : vector_(vector),
        copy_(static_cast<std::byte*>(vector.data),
              static_cast<std::byte*>(vector.data) + vector.bytes()) {}
  void restore() const { std::memcpy(vector_.data, copy_.data(), copy_.size()); }

 private:
  VectorView vector_;
  std::vector<std::byte> copy_;
};

void scale_(const VectorView& vector, double factor) {
  visit(vector, [&]<class T>(std::span<T> values) {
    for (T& value : values) value = static_cast<T>(factor * static_cast<double>(value));
  });
}

/// Replaces a tensor by rank 0's, whatever its type and layout.
void broadcast_(transport::Group& group, at::Tensor tensor) {
  const at::NoGradGuard no_grad;
  const at::Tensor dense = tensor.contiguous().clone();
  group.broadcast({static_cast<std::byte*>(dense.data_ptr()), dense.nbytes()}, 0);
  tensor.copy_(dense);
}

void average_tensor_(transport::Group& group, at::Tensor tensor) {
  const at::NoGradGuard no_grad;
  const at::Tensor dense = tensor.contiguous().clone();
  transport::average_(group, model::view_of(dense));
  tensor.copy_(dense);
}

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
      local_(std::move(local)),
      name_(settings.name),
      options_(settings.text) {
  MakeWorker make_worker;
  transport::check_together(group_, [&] {
    GOSSIP_CHECK(settings.timeout.count() > 0, "The timeout is {} ms: it must be positive.",
                 settings.timeout.count());
    flat_model_ = std::make_unique<model::FlatModel>(module);
    make_worker = plan();
    check_local_optimizer();
  });
  transport::require_agreement(group_, "model", flat_model_->description());
  transport::require_agreement(group_, "topology", description_of(schedule));
  transport::require_agreement(group_, "optimizer",
                               fmt::format("'{}' with {}", name_, settings.text));
  start_alike(settings.initial);
  worker_ = make_worker(*flat_model_, [this] { step_locally(); });
  flat_model_->move_to(worker_->model_memory());
  worker_->prepare();
}

Decentralized::MakeWorker Decentralized::make_staged(const StagedMethod& method,
                                                     const Settings& settings) {
  if (method.algorithm->uses_learning_rate()) {
    static_cast<void>(learning_rate_for(method.algorithm->name()));
  }
  return [=, this](model::FlatModel& model, std::function<void()> local_update) {
    if (method.algorithm->mixing_needs() != algorithm::MixingNeeds::kNone) {
      transport::require_agreement(
          group_, "mixing matrices",
          description_of(method.matrices.pull) + " and " + description_of(method.matrices.push));
    }
    engine::StagedWorker::Vectors vectors{model.parameters(), {}};
    if (method.algorithm->averages_gradient() && group_.size() > 1) {
      gradient_presence_.resize(model.entries().size());
      vectors.gradient = model.gradients();
      vectors.gradient.insert(vectors.gradient.begin(), std::span<float>(gradient_presence_));
    }
    if (method.algorithm->changes_gradient()) vectors.gradient = model.gradients();
    return std::make_unique<engine::StagedWorker>(
        group_, method.algorithm, method.matrices, std::move(vectors),
        make_caller(method.algorithm, model, std::move(local_update)),
        engine::StagedWorkerOptions{.timeout = settings.timeout,
                                    .bucket_bytes = settings.bucket_bytes,
                                    .on_lost_neighbor = settings.on_lost_neighbor,
                                    .codec = method.codec});
  };
}

/// Methods that only read the gradient find it where it lies; the others work on a copy.
engine::StagedWorker::Caller Decentralized::make_caller(
    const std::shared_ptr<const algorithm::Algorithm>& algorithm, model::FlatModel& model,
    const std::function<void()>& local_update) {
  engine::StagedWorker::Caller caller{
      .local_update = local_update,
      .average_gradient = [this] { synchronize(); },
      .local_update_along =
          [&model, local_update](const std::vector<VectorView>& gradient) {
            const model::LentGradient lent(model, gradient);
            local_update();
          },
      .learning_rate = [this, algorithm] { return learning_rate_for(algorithm->name()); }};
  if (algorithm->changes_gradient()) {
    caller.load_gradient = [&model] {
      for (std::size_t i = 0; i < model.entries().size(); ++i) model.gather_gradient(i);
    };
  } else {
    caller.find_gradient = [&model]() -> const auto& { return model.find_gradient(); };
  }
  return caller;
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
  if (std::uncaught_exceptions() == 0) {
    try {
      worker_->leave();
    } catch (const std::exception& error) {
      log(LogLevel::kError, group_.rank(), "the optimizer was not ended in order: {}",
          error.what());
    }
  }
  flat_model_->move_to_own_memory();
}

void Decentralized::check_local_optimizer() const {
  GOSSIP_CHECK(
      dynamic_cast<const torch::optim::LBFGS*>(local_.get()) == nullptr,
      "LBFGS cannot be the local optimizer: it evaluates the loss several times a step and its "
      "line search "
      "assumes that nobody else moves the model. Use SGD, Adam, AdamW, Adagrad or RMSprop.");
  std::unordered_set<const void*> known;
  for (const model::FlatModel::Parameter& entry : flat_model_->entries()) {
    known.insert(entry.tensor.unsafeGetTensorImpl());
  }
  for (const torch::optim::OptimizerParamGroup& parameters : param_groups_) {
    const std::optional<double> rate = learning_rate_of(parameters.options());
    GOSSIP_CHECK(!rate || (std::isfinite(*rate) && *rate >= 0.0),
                 "The learning rate is {}: it must be a number of at least 0.", *rate);
    for (const at::Tensor& tensor : parameters.params()) {
      GOSSIP_CHECK(known.contains(tensor.unsafeGetTensorImpl()) || !tensor.requires_grad(),
                   "The local optimizer has a trainable parameter of shape {} that is not a "
                   "parameter of the module, so it "
                   "would not be mixed: make the local optimizer with module.parameters().",
                   fmt::join(tensor.sizes(), "x"));
    }
  }
}

void Decentralized::start_alike(Initial initial) {
  if (initial == Initial::kKeep || group_.size() == 1) return;
  for (const VectorView& vector : flat_model_->parameters()) {
    if (initial == Initial::kMean) {
      transport::average_(group_, vector);
    } else {
      group_.broadcast({static_cast<std::byte*>(vector.data), vector.bytes()}, 0);
    }
  }
  for (const at::Tensor& tensor : flat_model_->others()) {
    const bool is_float = tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
    if (initial == Initial::kMean && is_float) {
      average_tensor_(group_, tensor);
    } else {
      broadcast_(group_, tensor);
    }
  }
}

torch::Tensor Decentralized::step(LossClosure closure) {
  torch::Tensor loss;
  if (closure && needs_gradient()) {
    const at::AutoGradMode with_gradients(true);
    loss = closure();
  }
  flat_model_->restore_aliases();
  if (needs_gradient()) divergence_.look(*flat_model_, loss, group_.rank(), steps() + 1);
  worker_->finish(!is_suspended());
  worker_->prepare(!is_suspended());
  return loss;
}

void Decentralized::paused(const std::function<void()>& body) {
  const Away away(*worker_);
  complete_started();
  body();
  flat_model_->restore_aliases();  // torch::load() gives tensors other memory, and others mix ours
}

void Decentralized::with_mean_model(const std::function<void()>& body) {
  const Away away(*worker_);
  complete_started();
  flat_model_->restore_aliases();
  // With push-sum a model counts by its weight: the mean is that of the numerators.
  const double weight = worker_->position().weight;
  const double share = weight / transport::mean_of(group_, weight);
  std::vector<Snapshot> parameters;
  const std::vector<VectorView> shown = evaluated();
  for (std::size_t v = 0; v < shown.size(); ++v) {
    const VectorView vector = flat_model_->parameters()[v];
    parameters.emplace_back(vector);
    if (shown[v].data != vector.data) std::memcpy(vector.data, shown[v].data, vector.bytes());
    if (share != 1.0) scale_(vector, share);
    transport::average_(group_, vector);
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers;
  for (const at::Tensor& buffer : flat_model_->float_buffers()) {
    buffers.emplace_back(buffer, buffer.clone());
    average_tensor_(group_, buffer);
  }
  const auto restore = [&] {
    const at::NoGradGuard no_grad;
    for (const Snapshot& snapshot : parameters) snapshot.restore();
    for (auto& [buffer, own] : buffers) buffer.copy_(own);
  };
  try {
    body();
  } catch (...) {
    restore();
    throw;
  }
  restore();
}

double Decentralized::consensus_distance() {
  const Away away(*worker_);
  complete_started();
  flat_model_->restore_aliases();
  double squares = 0.0;
  for (const VectorView& vector : flat_model_->parameters()) {
    visit(vector, [&]<class T>(std::span<T> own) {
      std::vector<T> mean(own.begin(), own.end());
      transport::average_(group_, std::span<T>(mean));
      squares += model::squared_distance(vector, std::span<T>(mean));
    });
  }
  return std::sqrt(transport::mean_of(group_, squares));
}

bool Decentralized::needs_gradient() const { return worker_->needs_gradient(); }

engine::Counters Decentralized::counters() const { return worker_->counters(); }

std::int64_t Decentralized::steps() const { return worker_->position().step; }

double Decentralized::weight() const { return worker_->position().weight; }

std::int64_t Decentralized::job_steps() const { return worker_->job_steps(); }

bool Decentralized::is_synchronous() const { return worker_->is_synchronous(); }

std::size_t Decentralized::memory_bytes() const { return worker_->memory_bytes(); }

}  // namespace gossip::optim
