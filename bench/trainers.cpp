// SPDX-License-Identifier: Apache-2.0
#include "trainers.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <thread>
#include <utility>

#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/topology/families.h>

namespace gossip::bench {
namespace {

/// Steps of gossip that come before those that count, in seconds.
constexpr double kStart = 1.0;

double seconds_of(const std::function<void()>& work) {
  const Clock::time_point start = Clock::now();
  work();
  return seconds_between(start, Clock::now());
}

double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// The local update.
void add(std::span<float> model, std::span<const float> gradient) {
  for (std::size_t k = 0; k < model.size(); ++k) model[k] += gradient[k];
}

/// Arithmetic that stays in registers.
void compute(std::int64_t rounds) {
  constexpr double kFactor = 0.999;
  volatile double result = 1.0;
  double a = result;
  double b = result;
  for (std::int64_t i = 0; i < rounds; ++i) {
    a = a * kFactor + b;
    b = b * kFactor - a;
  }
  result = a + b;
}

class NoCommunication final : public Trainer {
 public:
  explicit NoCommunication(std::size_t bytes)
      : model_(bytes / sizeof(float)), gradient_(model_.size(), 1.0F) {}

  [[nodiscard]] std::string name() const override { return "no communication"; }

  [[nodiscard]] Walk run(const Pass& pass, double seconds) override {
    Walk walk;
    const Clock::time_point start = Clock::now();
    while (seconds_between(start, Clock::now()) < seconds) {
      walk.pass_seconds += seconds_of(pass);
      walk.update_seconds += seconds_of([&] { add(model_, gradient_); });
      ++walk.steps;
    }
    walk.seconds = seconds_between(start, Clock::now());
    return walk;
  }

 private:
  std::vector<float> model_;
  std::vector<float> gradient_;
};

class AllReduceTrainer final : public Trainer {
 public:
  AllReduceTrainer(transport::Group& group, std::span<const float> gradient, Contender all_reduce)
      : group_(group),
        gradient_(gradient),
        model_(gradient.size()),
        all_reduce_(std::move(all_reduce)) {}

  [[nodiscard]] std::string name() const override { return "all-reduce: " + all_reduce_.name; }

  /// All ranks make as many steps as the slowest one's first suggests.
  [[nodiscard]] Walk run(const Pass& pass, double seconds) override {
    double longest = 0.0;
    for (const Walk& first : group_.all_gather(walk(pass, 1))) {
      longest = std::max(longest, first.seconds);
    }
    return walk(pass, std::max(2, static_cast<int>(std::ceil(seconds / longest))));
  }

 private:
  [[nodiscard]] Walk walk(const Pass& pass, int steps) {
    Walk walk;
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < steps; ++i) {
      walk.pass_seconds += seconds_of(pass);
      walk.wait_seconds += seconds_of(all_reduce_.run);
      walk.update_seconds += seconds_of([&] { add(model_, gradient_); });
    }
    walk.steps = steps;
    walk.seconds = seconds_between(start, Clock::now());
    return walk;
  }

  transport::Group& group_;
  std::span<const float> gradient_;
  std::vector<float> model_;
  Contender all_reduce_;
};

}  // namespace

Pass waiting_pass(std::chrono::milliseconds time) {
  return [time] { std::this_thread::sleep_for(time); };
}

Pass computing_pass(transport::Group& group, std::chrono::milliseconds time) {
  constexpr std::int64_t kRounds = 10'000'000;
  const double start = thread_cpu_seconds();
  compute(kRounds);
  const double each = (thread_cpu_seconds() - start) / kRounds;
  auto rounds = static_cast<std::int64_t>(std::chrono::duration<double>(time).count() / each);
  group.broadcast(std::as_writable_bytes(std::span(&rounds, 1)), 0);
  return [rounds] { compute(rounds); };
}

std::unique_ptr<Trainer> make_no_communication(std::size_t bytes) {
  return std::make_unique<NoCommunication>(bytes);
}

std::unique_ptr<Trainer> make_all_reduce_trainer(transport::Group& group,
                                                 std::span<const float> gradient,
                                                 Contender all_reduce) {
  return std::make_unique<AllReduceTrainer>(group, gradient, std::move(all_reduce));
}

GossipTrainer::GossipTrainer(transport::Group& group, std::size_t bytes, double exchanges_per_step)
    : group_(group),
      gradient_(bytes / sizeof(float), 1e-3F * static_cast<float>(group.rank())),
      port_({VectorView(Dtype::kFloat32, nullptr, gradient_.size())}, {},
            [this] {
              const std::span<float> model = worker_.model_memory().front().as<float>();
              update_seconds_ += seconds_of([&] { add(model, gradient_); });
            }),
      worker_(group, std::make_shared<algorithm::ADPSGD>(), topology::ring(group.size()), port_,
              {.exchanges_per_step = exchanges_per_step}) {}

Walk GossipTrainer::totals() const {
  const engine::Counters counters = worker_.counters();
  Walk walk;
  walk.update_seconds = update_seconds_;
  walk.wait_seconds = counters.wait_seconds;
  walk.exchanges = static_cast<double>(counters.gossip_rounds);
  walk.skipped = static_cast<double>(counters.skipped);
  walk.bytes_averaged = static_cast<double>(counters.bytes_averaged);
  walk.thread_seconds = group_.background().cpu_seconds();
  return walk;
}

Walk GossipTrainer::run(const Pass& pass, double seconds) {
  worker_.come_back();
  group_.barrier();
  Walk walk;
  Walk before;
  double finish_seconds = 0.0;
  const Clock::time_point first = Clock::now();
  Clock::time_point start = first;
  const auto step = [&] {
    worker_.prepare();
    walk.pass_seconds += seconds_of(pass);
    finish_seconds += seconds_of([&] { worker_.finish(); });
    ++walk.steps;
  };
  while (seconds_between(first, Clock::now()) < kStart) step();
  walk = {};
  finish_seconds = 0.0;
  before = totals();
  start = Clock::now();
  while (seconds_between(start, Clock::now()) < seconds) step();
  walk.seconds = seconds_between(start, Clock::now());
  const Walk after = totals();
  walk.update_seconds = after.update_seconds - before.update_seconds;
  walk.wait_seconds = after.wait_seconds - before.wait_seconds;
  walk.merge_seconds = finish_seconds - walk.update_seconds - walk.wait_seconds;
  walk.exchanges = after.exchanges - before.exchanges;
  walk.skipped = after.skipped - before.skipped;
  walk.bytes_averaged = after.bytes_averaged - before.bytes_averaged;
  walk.thread_seconds = after.thread_seconds - before.thread_seconds;
  worker_.leave();
  return walk;
}

}  // namespace gossip::bench
