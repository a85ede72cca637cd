// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <torch/torch.h>

#include <libgossip/base/error.h>
#include <libgossip/optim/factory.h>
#include <libgossip/topology/families.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {
namespace {

/// 44 MB of parameters in the tensors of a network, with gradients; a step waits for a GPU.
class Trainer {
 public:
  Trainer(Session& session, std::string_view optimizer) {
    for (int i = 0; i < kTensors; ++i) {
      torch::Tensor parameter =
          model_.register_parameter(fmt::format("p{}", i), torch::rand({kElements}));
      parameter.mutable_grad() = torch::rand({kElements});
    }
    optimizer_ = optim::make_optimizer(
        optimizer, session, model_,
        std::make_unique<torch::optim::SGD>(model_.parameters(), torch::optim::SGDOptions(1e-6)),
        topology::complete(session.size()), {.local_steps = 1, .active = 1.0});
  }

  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      std::this_thread::sleep_for(kCompute);
      optimizer_->step();
    }
  }

  [[nodiscard]] double copies_of_model() const {
    return static_cast<double>(optimizer_->memory_bytes()) / kModelBytes;
  }

  /// How often a step reads or writes the model's bytes, outside the local update.
  [[nodiscard]] double passes(std::uint64_t engine::Counters::*bytes) const {
    return static_cast<double>(optimizer_->counters().*bytes) /
           static_cast<double>(optimizer_->steps()) / kModelBytes;
  }

 private:
  static constexpr int kTensors = 44;
  static constexpr std::int64_t kElements = 1 << 18;
  static constexpr double kModelBytes = double{kTensors} * kElements * sizeof(float);
  static constexpr std::chrono::milliseconds kCompute{100};

  torch::nn::Module model_;
  std::unique_ptr<optim::Decentralized> optimizer_;
};

}  // namespace

void optimizers_command(Session& session, const std::vector<std::string>& only, int repetitions,
                        double most_seconds) {
  GOSSIP_CHECK(session.size() == 2, "The optimizers are compared on 2 ranks, not {}: mpirun -n 2.",
               session.size());
  constexpr int kSteps = 8;
  torch::manual_seed(1);
  Trainer baseline(session, "gossip-sgd");
  for (const optim::OptimizerName& entry : optim::optimizer_names()) {
    const bool is_wanted = only.empty() || std::ranges::find(only, entry.name) != only.end();
    if (entry.is_asynchronous || !is_wanted || (entry.name == "gossip-sgd" && only.empty()))
      continue;
    Trainer method(session, entry.name);
    const auto times = measure(session,
                               {{"gossip-sgd", [&] { baseline.steps(kSteps); }},
                                {std::string(entry.name), [&] { method.steps(kSteps); }}},
                               repetitions, most_seconds);
    print_table(session, times);
    report(session, "optimizers", "steps_over_gossip_sgd", median_ratio(times[0], times[1]),
           "ratio",
           {{"optimizer", entry.name},
            {"ranks", session.size()},
            {"steps", kSteps},
            {"memory_in_model_copies", method.copies_of_model()},
            {"passes_over_model", method.passes(&engine::Counters::bytes_touched)},
            {"passes_at_least", method.passes(&engine::Counters::bytes_touched_least)},
            {"repetitions", times[0].seconds.size()}});
  }
}

}  // namespace gossip::bench
