// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <libgossip/checkpoint/checkpoint_set.h>
#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/optim/factory.h>

#include "optim/optim_test_support.h"
#include "support/temporary_folder.h"

namespace gossip::test {

/// A folder that all ranks see. Collective.
class SharedFolder {
 public:
  explicit SharedFolder(transport::Group& group) : group_(group) {
    if (group.rank() == 0) folder_.emplace();
    path_ = group.all_gather(folder_ ? folder_->path().string() : "").front();
  }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  ~SharedFolder() { group_.barrier(); }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  transport::Group& group_;
  std::optional<TemporaryFolder> folder_;
  std::filesystem::path path_;
};

inline optim::OptimizerOptions method_options() {
  return {.local_steps = 3,
          .outer_steps = 6,
          .method_momentum = 0.5,
          .fragments = 2,
          .compression = 0.2,
          .weight_decay = 0.05,
          .lipschitz = 20.0,
          .timeout = std::chrono::seconds(30)};
}

inline std::unique_ptr<torch::optim::Optimizer> momentum_sgd(torch::nn::Module& model) {
  return std::make_unique<torch::optim::SGD>(sgd(model, 0.05, 0.9));
}

inline std::unique_ptr<torch::optim::Optimizer> adamw(torch::nn::Module& model) {
  return std::make_unique<torch::optim::AdamW>(model.parameters(),
                                               torch::optim::AdamWOptions(0.01).amsgrad(true));
}

/// A model, and what trains it.
struct Trainee {
  Trainee(transport::Group& ranks, std::string_view method,
          std::unique_ptr<torch::optim::Optimizer> (*local)(torch::nn::Module&), std::uint64_t seed,
          const optim::OptimizerOptions& options = method_options())
      : group(ranks),
        model(make<Normed>(seed)),
        optimizer(optim::make_optimizer(method, group, *model, local(*model),
                                        topology::ring(group.size()), options)) {}

  void step() const {
    optimizer->zero_grad();
    if (optimizer->needs_gradient()) {
      loss(*model, group.rank(), static_cast<int>(optimizer->steps())).backward();
    }
    optimizer->step();
  }

  /// What a set would hold, as bytes.
  [[nodiscard]] std::string bytes() const {
    std::vector<torch::Tensor> tensors = model->parameters();
    for (const torch::Tensor& buffer : model->buffers()) tensors.push_back(buffer);
    const model::StateDict state = optimizer->state_dict();
    for (const model::NamedTensor& entry : state.tensors) tensors.push_back(entry.tensor);
    return bytes_of(tensors);
  }

  transport::Group& group;
  std::shared_ptr<Normed> model;
  std::unique_ptr<optim::Decentralized> optimizer;
};

/// A state of a run, kept in memory, as a program does that may want to return to it.
class Kept {
 public:
  explicit Kept(const Trainee& run)
      : tensors_(copies_of(tensors_of(run))), state_(run.optimizer->state_dict()) {
    for (model::NamedTensor& entry : state_.tensors) entry.tensor = entry.tensor.clone();
  }

  void put_back(const Trainee& run) const {
    const torch::NoGradGuard no_grad;
    const std::vector<torch::Tensor> tensors = tensors_of(run);
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_(tensors_[i]);
    run.optimizer->load_state_dict(state_);
  }

 private:
  static std::vector<torch::Tensor> tensors_of(const Trainee& run) {
    std::vector<torch::Tensor> tensors = run.model->parameters();
    for (const torch::Tensor& buffer : run.model->buffers()) tensors.push_back(buffer);
    return tensors;
  }

  std::vector<torch::Tensor> tensors_;
  model::StateDict state_;
};

/// Runs on the ranks of the job, and looks at the sets that they leave.
class CheckpointerTest : public OptimTest {
 protected:
  /// Trains until the rank has made `steps`, or is stopped.
  static bool train(const Trainee& run, checkpoint::Checkpointer& checkpoints, std::int64_t steps) {
    while (run.optimizer->steps() < steps) {
      run.step();
      if (checkpoints.after_step()) return true;
    }
    return false;
  }

  [[nodiscard]] static std::vector<std::int64_t> sets(const SharedFolder& folder) {
    return checkpoint::complete_sets(folder.path());
  }

  /// The records of all ranks in a set.
  [[nodiscard]] std::vector<checkpoint::RankRecord> records(const SharedFolder& folder,
                                                            std::int64_t step) const {
    const std::filesystem::path set = folder.path() / checkpoint::set_name(step);
    const checkpoint::Manifest manifest = checkpoint::read_manifest(set);
    std::vector<checkpoint::RankRecord> result;
    for (Rank rank = 0; rank < size(); ++rank)
      result.push_back(checkpoint::read_record(set, manifest, rank));
    return result;
  }

  /// The sum of a tensor of doubles over the ranks' files.
  [[nodiscard]] std::vector<double> sum_of(const SharedFolder& folder, std::int64_t step,
                                           const std::string& name,
                                           bool is_weighted = false) const {
    std::vector<double> sum;
    for (const checkpoint::RankRecord& record : records(folder, step)) {
      std::vector<std::byte> memory(record.tensor_bytes);
      const checkpoint::SafetensorsContents contents =
          checkpoint::read_tensors(folder.path() / checkpoint::set_name(step), record, memory);
      for (const checkpoint::TensorInfo& tensor : contents.tensors) {
        if (tensor.name != name) continue;
        EXPECT_EQ(tensor.dtype, "F64");
        sum.resize(tensor.bytes / sizeof(double));
        for (std::size_t i = 0; i < sum.size(); ++i) {
          double value = 0.0;
          std::memcpy(&value, contents.data.data() + tensor.offset_bytes + i * sizeof(value),
                      sizeof(value));
          sum[i] += is_weighted ? record.weight * value : value;
        }
      }
    }
    return sum;
  }
};

}  // namespace gossip::test
