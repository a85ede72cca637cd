// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/checkpoint/checkpoint_set.h>
#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/optim/bias_corrected.h>
#include <libgossip/topology/families.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {
namespace {

constexpr int kTensors = 50;

/// Parameters that compute nothing.
struct Parameters : torch::nn::Module {
  explicit Parameters(std::size_t bytes) {
    const auto size = static_cast<std::int64_t>(bytes / sizeof(float)) / kTensors;
    for (int i = 0; i < kTensors; ++i) {
      register_parameter(fmt::format("p{}", i), torch::randn({size}));
    }
  }
};

/// A model with AdamW and a gradient tracker that keeps two vectors: five copies of the model.
struct Training {
  Training(Session& session, std::size_t bytes)
      : model(bytes),
        optimizer(session, model,
                  torch::optim::AdamW(model.parameters(), torch::optim::AdamWOptions(1e-3)),
                  topology::ring(session.size()),
                  optim::GradientTrackingOptions().order(optim::TrackingOrder::kATC)) {
    for (const torch::Tensor& parameter : model.parameters()) {
      parameter.mutable_grad() = torch::full_like(parameter, 0.01);
    }
  }

  Parameters model;
  optim::GradientTracking optimizer;
};

/// A folder of this process's own, gone at the end.
class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() / fmt::format("gossip-bench-{}", ::getpid())) {
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// The tensors of a training, as pieces of memory.
std::vector<torch::Tensor> tensors_of(const Training& training) {
  std::vector<torch::Tensor> tensors = training.model.parameters();
  const model::StateDict state = training.optimizer.state_dict();
  for (const model::NamedTensor& entry : state.tensors) tensors.push_back(entry.tensor);
  return tensors;
}

double seconds_to_copy(const std::vector<torch::Tensor>& tensors, std::byte* target) {
  const Clock::time_point begin = Clock::now();
  for (const torch::Tensor& tensor : tensors) {
    std::memcpy(target, tensor.data_ptr(), tensor.nbytes());
    target += tensor.nbytes();
  }
  return seconds_between(begin, Clock::now());
}

/// Until the files of a set are on the disk.
double seconds_to_write(const std::filesystem::path& folder, std::int64_t step) {
  const Clock::time_point begin = Clock::now();
  const std::filesystem::path file =
      checkpoint::record_file(folder / checkpoint::set_name(step), 0);
  while (!std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the thread goes to sleep
  return seconds_between(begin, Clock::now());
}

}  // namespace

void checkpoint_command(Session& session, std::size_t bytes, int repetitions) {
  GOSSIP_CHECK(session.size() == 1, "This measurement needs 1 rank, not {}: mpirun -n 1.",
               session.size());
  const Folder folder;
  Training training(session, bytes);
  std::vector<double> ratios;
  std::vector<double> writes;
  std::size_t state_bytes = 0;
  {
    checkpoint::Checkpointer checkpoints(session, training.model, training.optimizer,
                                         {.folder = folder.path(), .every_steps = 2, .keep = 1});
    checkpoints.start();
    training.optimizer.step();
    static_cast<void>(checkpoints.after_step());
    const std::vector<torch::Tensor> tensors = tensors_of(training);
    for (const torch::Tensor& tensor : tensors) state_bytes += tensor.nbytes();
    const auto target = std::make_unique<std::byte[]>(state_bytes);  // zeros: its pages are there
    for (int i = 0; i < repetitions + 1; ++i) {
      // Both copies come after a step, which leaves the caches alike.
      const double copied = seconds_to_copy(tensors, target.get());
      const double before = checkpoints.stalled_seconds();
      training.optimizer.step();
      static_cast<void>(checkpoints.after_step());  // saves
      const double stalled = checkpoints.stalled_seconds() - before;
      const double written = seconds_to_write(folder.path(), training.optimizer.steps());
      if (i > 0) {  // the first does not count
        ratios.push_back(stalled / copied);
        writes.push_back(written);
        fmt::print(stderr, "stalled {:.4f} s, memcpy {:.4f} s, written in {:.2f} s\n", stalled,
                   copied, written);
      }
      training.optimizer.step();
      static_cast<void>(checkpoints.after_step());  // does not
    }
    static_cast<void>(checkpoints.finish());
  }
  Training again(session, bytes);
  checkpoint::Checkpointer checkpoints(session, again.model, again.optimizer,
                                       {.folder = folder.path()});
  const Clock::time_point begin = Clock::now();
  const bool is_resumed = checkpoints.resume().has_value();
  const double resume = seconds_between(begin, Clock::now());
  GOSSIP_CHECK(is_resumed && again.optimizer.steps() > 0, "The checkpoint was not resumed.");
  const nlohmann::json params = {{"ranks", 1},
                                 {"model_bytes", bytes},
                                 {"state_bytes", state_bytes},
                                 {"repetitions", repetitions}};
  report(session, "checkpoint", "checkpoint_stall_over_memcpy", median_of(ratios), "ratio", params);
  report(session, "checkpoint", "checkpoint_write_seconds", median_of(writes), "s", params);
  report(session, "checkpoint", "checkpoint_resume_seconds", resume, "s", params);
  report(session, "checkpoint", "checkpoint_bytes", static_cast<double>(state_bytes), "bytes",
         params);
}

}  // namespace gossip::bench
