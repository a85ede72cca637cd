// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <libgossip/algorithm/all_reduce.h>
#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/model/memory.h>
#include <libgossip/optim/all_reduce.h>
#include <libgossip/topology/families.h>

namespace gossip::optim {
namespace {

/// Calls a function after a parameter's gradient was accumulated.
class AfterGradient final : public torch::autograd::FunctionPostHook {
 public:
  explicit AfterGradient(std::function<void()> call) : call_(std::move(call)) {}

  torch::autograd::variable_list operator()(
      const torch::autograd::variable_list& outputs,
      const torch::autograd::variable_list& /*inputs*/) override {
    call_();
    return outputs;
  }

 private:
  std::function<void()> call_;
};

model::MemoryRange bytes_of(const VectorView& vector) {
  const auto* begin = static_cast<const std::byte*>(vector.data);
  return {begin, begin + vector.bytes()};
}

}  // namespace

/// The hooks on all parameters; removed at the end, since the module may live on.
class AllReduce::Hooks {
 public:
  explicit Hooks(AllReduce& optimizer) {
    const std::vector<model::FlatModel::Parameter>& entries = optimizer.flat_model().entries();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      auto node = torch::autograd::impl::grad_accumulator(entries[i].tensor);
      const std::uintptr_t key = node->add_post_hook(
          std::make_unique<AfterGradient>([&optimizer, i] { optimizer.gradient_is_ready(i); }));
      hooks_.emplace_back(std::move(node), key);
    }
  }
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;
  ~Hooks() {
    for (auto& [node, key] : hooks_) node->del_post_hook(key);
  }

 private:
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, std::uintptr_t>> hooks_;
};

AllReduce::AllReduce(transport::Group& group, torch::nn::Module& module,
                     std::unique_ptr<torch::optim::Optimizer> local,
                     const AllReduceOptions& options)
    : Decentralized(
          group, module, std::move(local),
          [&] {
            GOSSIP_CHECK(options.bucket_bytes() > 0, "bucket_bytes is {}: it must be positive.",
                         options.bucket_bytes());
            return StagedMethod{std::make_shared<const algorithm::AllReduce>(),
                                topology::complete(group.size())};
          },
          topology::complete(group.size()),
          {.initial = options.initial(),
           .timeout = options.timeout(),
           .bucket_bytes =
               static_cast<std::size_t>(std::max<std::int64_t>(1, options.bucket_bytes())),
           .name = "allreduce",
           .text = fmt::format("bucket_bytes {}, initial {}", options.bucket_bytes(),
                               static_cast<int>(options.initial()))}) {
  if (group.size() == 1) return;
  const std::vector<VectorView>& buckets = staged_worker().gradient_buckets();
  const std::size_t num_entries = flat_model().entries().size();
  is_gathered_.resize(num_entries, false);
  buckets_of_.resize(num_entries);
  parameters_in_.resize(buckets.size(), 0);
  std::vector<std::size_t> order(buckets.size());  // by address: they lie apart
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t bucket) { return buckets[bucket].data; });
  const auto end_of = [&](std::size_t bucket) { return bytes_of(buckets[bucket]).end; };
  for (std::size_t entry = 0; entry < num_entries; ++entry) {
    const model::MemoryRange slice = bytes_of(mutable_flat_model().gradient_slice(entry));
    // From the first one that ends behind the slice's begin.
    auto bucket = std::ranges::upper_bound(order, slice.begin, {}, end_of);
    for (; bucket != order.end() && overlaps(slice, bytes_of(buckets[*bucket])); ++bucket) {
      buckets_of_[entry].push_back(*bucket);
      ++parameters_in_[*bucket];
    }
  }
  missing_in_ = parameters_in_;
  hooks_ = std::make_unique<Hooks>(*this);
}

AllReduce::~AllReduce() = default;

void AllReduce::gradient_is_ready(std::size_t entry) {
  synchronized_step_ = -1;
  if (is_suspended()) {
    is_stale_ = has_started();
    return;
  }
  if (staged_worker().gradient_mean()->has_failed()) return;  // the next step() says so
  const CollectiveCall call = this->call("step()");           // which this belongs to
  // A pass that ended with an exception has not said so.
  if (!is_in_pass_ || is_gathered_[entry]) {
    is_in_pass_ = true;
    torch::autograd::Engine::get_default_engine().queue_callback([this] { is_in_pass_ = false; });
    if (has_started()) drop_mean();  // it lacks this pass's gradients
  }
  gather(entry);
}

bool AllReduce::has_started() const {
  return std::find(is_gathered_.begin(), is_gathered_.end(), true) != is_gathered_.end();
}

/// Returns whether the mean counts: all ranks gave all of their gradients. Otherwise all start
/// over.
bool AllReduce::finish_mean(bool is_whole) {
  float& lacks = gradient_presence().back();
  lacks = is_whole ? 0.0F : 1.0F;
  staged_worker().gradient_mean()->finish();
  std::fill(is_gathered_.begin(), is_gathered_.end(), false);
  is_stale_ = false;
  missing_in_ = parameters_in_;
  return lacks == 0.0F;
}

/// Ends what is started without a result, on all ranks.
void AllReduce::drop_mean() { static_cast<void>(finish_mean(false)); }

void AllReduce::gather(std::size_t entry) {
  is_gathered_[entry] = true;
  mutable_flat_model().gather_gradient(entry);
  gradient_presence()[entry] = flat_model().entries()[entry].tensor.grad().defined() ? 1.0F : 0.0F;
  for (const std::size_t bucket : buckets_of_[entry]) {
    if (--missing_in_[bucket] == 0) staged_worker().gradient_mean()->ready(bucket);
  }
}

void AllReduce::synchronize() {
  if (group().size() == 1 || is_suspended() || synchronized_step_ == steps()) return;
  const CollectiveCall call = this->call("step()");
  complete();
}

void AllReduce::complete_started() {
  if (group().size() == 1) return;
  engine::BucketedMean& mean = *staged_worker().gradient_mean();
  enum class Pass { kNone, kStarted, kFailed };
  const Pass own = mean.has_failed() ? Pass::kFailed : has_started() ? Pass::kStarted : Pass::kNone;
  const std::vector<Pass> all = group().all_gather(own);
  if (std::ranges::count(all, Pass::kFailed) > 0) {
    mean.give_up();
  } else if (std::ranges::count(all, Pass::kStarted) == group().size()) {
    complete();
  } else if (std::ranges::count(all, Pass::kStarted) > 0) {  // step() gathers the gradients again
    is_in_pass_ = false;
    drop_mean();
  }
}

void AllReduce::complete() {
  // A pass ended with an exception, or a suspended one came after what is gathered.
  if ((is_in_pass_ || is_stale_) && has_started()) drop_mean();
  is_in_pass_ = false;
  const bool is_before_step = !is_in_step();  // which has looked at the gradient
  if (is_before_step) divergence().look_before_mean(flat_model(), steps() + 1);
  const std::size_t num_entries = flat_model().entries().size();
  do {
    for (std::size_t entry = 0; entry < num_entries; ++entry) {
      if (!is_gathered_[entry]) gather(entry);
    }
  } while (!finish_mean(true));
  for (std::size_t entry = 0; entry < num_entries; ++entry) {
    if (gradient_presence()[entry] > 0.0F) mutable_flat_model().scatter_gradient(entry);
  }
  if (is_before_step) divergence().look_after_mean(flat_model(), steps() + 1);
  synchronized_step_ = steps();
}

}  // namespace gossip::optim
