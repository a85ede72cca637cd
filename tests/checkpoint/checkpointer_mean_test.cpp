// SPDX-License-Identifier: Apache-2.0
// Another number of ranks: threads, of which there can be as many as a test wants.
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <mutex>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <libgossip/transport/local/cluster.h>

#include "checkpoint/checkpointer_test_support.h"
#include "support/thread_ranks.h"

namespace gossip::checkpoint {
namespace {

using test::Normed;

/// A ring in which rank 0 has one more neighbor to send to, so that weights of push-sum differ.
topology::Schedule lopsided_ring(int size) {
  std::vector<topology::Arc> arcs;
  for (Rank rank = 0; size > 1 && rank < size; ++rank) arcs.push_back({rank, (rank + 1) % size});
  if (size > 2) arcs.push_back({0, 2});
  return topology::Graph::directed(size, arcs, "lopsided ring");
}

/// Trainings of a method on so many ranks; models are made one after the other, because their first
/// values come from one generator.
class Job {
 public:
  Job(int size, std::string method, std::uint64_t seed)
      : cluster_(size), method_(std::move(method)) {
    for (int rank = 0; rank < size; ++rank) {
      models_.push_back(test::make<Normed>(seed + static_cast<std::uint64_t>(rank)));
    }
  }

  using Body = std::function<void(int rank, optim::Decentralized&, Checkpointer&)>;

  /// Runs `body` on all ranks.
  void run(const CheckpointOptions& options, const Body& body) const {
    test::run_ranks(static_cast<int>(models_.size()), [&](int rank) {
      const auto group = cluster_.group(rank);
      optim::OptimizerOptions method = test::method_options();
      method.initial = optim::Initial::kKeep;
      const auto optimizer = optim::make_optimizer(
          method_, *group, model(rank), test::momentum_sgd(model(rank)),
          method_ == "push-sum" ? lopsided_ring(group->size())
                                : topology::one_peer_exponential(group->size()),
          method);
      Checkpointer checkpoints(*group, model(rank), *optimizer, options);
      body(rank, *optimizer, checkpoints);
    });
  }

  /// So many steps of a rank.
  void train(int rank, optim::Decentralized& optimizer, Checkpointer& checkpoints,
             int steps) const {
    for (int step = 0; step < steps; ++step) {
      optimizer.zero_grad();
      test::loss(model(rank), rank, step).backward();
      optimizer.step();
      EXPECT_FALSE(checkpoints.after_step());
    }
  }

  [[nodiscard]] Normed& model(int rank) const { return *models_[static_cast<std::size_t>(rank)]; }

 private:
  transport::local::Cluster cluster_;
  std::string method_;
  std::vector<std::shared_ptr<Normed>> models_;
};

class CheckpointerMean : public testing::Test {
 protected:
  /// Four ranks save after five steps; returns what each had, and its weight.
  void save(const std::string& method) {
    const Job job(4, method, 3);
    std::mutex mutex;
    weights_.assign(4, 0.0);
    tensors_.assign(4, {});
    shown_.clear();
    job.run({.folder = folder(), .every_steps = 5},
            [&](int rank, optim::Decentralized& optimizer, Checkpointer& checkpoints) {
              for (const torch::Tensor& buffer : job.model(rank).buffers()) {
                if (!buffer.is_floating_point()) buffer.fill_(10 * rank);  // those of rank 0 count
              }
              for (int step = 0; step < 5; ++step) {
                optimizer.zero_grad();
                test::loss(job.model(rank), rank, step).backward();
                optimizer.step();
                EXPECT_FALSE(checkpoints.after_step());
              }
              optimizer.with_mean_model([&] {
                const std::lock_guard lock(mutex);
                shown_ = test::copies_of(job.model(rank).parameters());
                for (const torch::Tensor& buffer : job.model(rank).buffers()) {
                  shown_.push_back(buffer.clone());
                }
              });
              const std::lock_guard lock(mutex);
              const auto index = static_cast<std::size_t>(rank);
              weights_[index] = optimizer.weight();
              tensors_[index] = test::copies_of(job.model(rank).parameters());
              for (const torch::Tensor& buffer : job.model(rank).buffers()) {
                tensors_[index].push_back(buffer.clone());
              }
            });
    EXPECT_EQ(weights_[2] > 1.1, method == "push-sum");
  }

  [[nodiscard]] std::vector<torch::Tensor> mean_of(const std::vector<std::size_t>& ranks) const {
    std::vector<torch::Tensor> mean;
    double weights = 0.0;
    for (const std::size_t rank : ranks) weights += weights_[rank];
    for (std::size_t i = 0; i < tensors_[0].size(); ++i) {
      torch::Tensor sum = torch::zeros_like(tensors_[0][i]);
      if (!sum.is_floating_point()) sum = tensors_[ranks.front()][i];
      for (const std::size_t rank : ranks) {
        if (sum.is_floating_point()) sum += weights_[rank] / weights * tensors_[rank][i];
      }
      mean.push_back(sum);
    }
    return mean;
  }

  /// That of with_mean_model().
  [[nodiscard]] const std::vector<torch::Tensor>& shown() const { return shown_; }

  static void expect_tensors(const Normed& model, const std::vector<torch::Tensor>& expected) {
    std::vector<torch::Tensor> tensors = model.parameters();
    for (const torch::Tensor& buffer : model.buffers()) tensors.push_back(buffer);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(torch::allclose(tensors[i], expected[i], 1e-13, 1e-13)) << "tensor " << i;
    }
  }

  [[nodiscard]] std::filesystem::path folder() const { return temporary_.path() / "sets"; }

 private:
  test::TemporaryFolder temporary_;
  std::vector<double> weights_;
  std::vector<std::vector<torch::Tensor>> tensors_;
  std::vector<torch::Tensor> shown_;
};

TEST_F(CheckpointerMean, TheMeanThatIsShownIsTheOneToGoOnFrom) {
  for (const std::string method : {"push-sum", "gossip-sgd"}) {
    std::filesystem::remove_all(folder());
    save(method);
    const std::vector<torch::Tensor> mean = mean_of({0, 1, 2, 3});
    for (std::size_t i = 0; i < mean.size(); ++i) {
      if (!mean[i].is_floating_point()) continue;  // each rank's own is shown
      EXPECT_TRUE(torch::allclose(shown()[i], mean[i], 1e-12, 1e-12)) << method << ", tensor " << i;
    }
  }
}

TEST_F(CheckpointerMean, OtherNumbersOfRanksGoOnFromTheWeightedMean) {
  for (const std::string method : {"push-sum", "gossip-sgd"}) {
    std::filesystem::remove_all(folder());
    save(method);
    for (const int size : {1, 2, 8}) {
      const Job job(size, method, 50);
      job.run({.folder = folder()},
              [&](int rank, optim::Decentralized& optimizer, Checkpointer& checkpoints) {
                const auto resumed = checkpoints.resume();
                EXPECT_TRUE(resumed && !resumed->is_exact && resumed->ranks == 4);
                expect_tensors(job.model(rank), mean_of({0, 1, 2, 3}));
                EXPECT_EQ(optimizer.steps(), 0);
                EXPECT_EQ(optimizer.weight(), 1.0);
                EXPECT_EQ(checkpoints.steps(), 20 / size);
                EXPECT_EQ(checkpoints.job_steps(), 20);
              });
    }
  }
}

TEST_F(CheckpointerMean, SetsOfTheNewRunAreNewerAndGoOnExactly) {
  save("gossip-sgd");
  std::vector<std::string> expected(2);
  const Job job(2, "gossip-sgd", 50);
  job.run({.folder = folder(), .every_steps = 4},
          [&](int rank, optim::Decentralized& optimizer, Checkpointer& checkpoints) {
            static_cast<void>(checkpoints.resume());
            for (int step = 0; step < 3; ++step) {
              optimizer.zero_grad();
              test::loss(job.model(rank), rank, step).backward();
              optimizer.step();
              EXPECT_FALSE(checkpoints.after_step());
            }
            expected[static_cast<std::size_t>(rank)] = test::bytes_of(job.model(rank).parameters());
          });
  EXPECT_THAT(complete_sets(folder()), testing::ElementsAre(5, 8));
  const Job again(2, "gossip-sgd", 70);
  again.run({.folder = folder(), .every_steps = 4},
            [&](int rank, optim::Decentralized& optimizer, Checkpointer& checkpoints) {
              const auto resumed = checkpoints.resume();
              EXPECT_TRUE(resumed && resumed->is_exact);
              EXPECT_EQ(checkpoints.steps(), 13);
              EXPECT_EQ(checkpoints.job_steps(), 26);
              EXPECT_EQ(test::bytes_of(again.model(rank).parameters()),
                        expected[static_cast<std::size_t>(rank)]);
              for (int step = 0; step < 4; ++step) {
                optimizer.zero_grad();
                test::loss(again.model(rank), rank, step).backward();
                optimizer.step();
                EXPECT_FALSE(checkpoints.after_step());
              }
            });
  EXPECT_THAT(complete_sets(folder()), testing::ElementsAre(5, 8, 12));
}

TEST_F(CheckpointerMean, StepsOfSeveralResumesAddUp) {
  save("gossip-sgd");
  const auto go_on = [&](int size, std::int64_t before, int steps) {
    const Job job(size, "gossip-sgd", 50);
    job.run({.folder = folder(), .every_steps = 1},
            [&](int rank, optim::Decentralized& optimizer, Checkpointer& checkpoints) {
              EXPECT_TRUE(checkpoints.resume());
              EXPECT_EQ(checkpoints.steps(), before / size);
              EXPECT_EQ(checkpoints.job_steps(), before);
              job.train(rank, optimizer, checkpoints, steps);
              EXPECT_EQ(checkpoints.job_steps(), before + steps * size);
            });
  };
  go_on(3, 20, 3);  // of which two ranks have made one more than the third
  go_on(3, 29, 2);  // exactly
  go_on(2, 35, 1);
  go_on(4, 37, 2);
  go_on(1, 45, 0);
}

TEST_F(CheckpointerMean, AModuleThatLacksWhatWasSavedIsRefused) {
  save("gossip-sgd");
  const Job job(2, "gossip-sgd", 50);
  for (const int rank : {0, 1}) job.model(rank).unregister_module("norm");
  test::expect_throw<JointError>(
      [&] {
        job.run({.folder = folder()}, [](int, optim::Decentralized&, Checkpointer& checkpoints) {
          static_cast<void>(checkpoints.resume());
        });
      },
      {"The module that was saved has the tensor 'norm.", "no place here"});
}

TEST_F(CheckpointerMean, RanksWhoseFilesAreMissingMayBeLeftOut) {
  save("push-sum");
  std::filesystem::remove(tensor_file(folder() / "step-5", 2));
  std::filesystem::remove(record_file(folder() / "step-5", 0));
  const Job job(4, "push-sum", 50);
  test::expect_throw<JointError>(
      [&] {
        job.run({.folder = folder()}, [](int, optim::Decentralized&, Checkpointer& checkpoints) {
          static_cast<void>(checkpoints.resume());
        });
      },
      {"step-5", "rank-0.json", "No such file", "no older complete one", "--resume-from-mean"});
  job.run({.folder = folder(), .resumes_from_mean = true},
          [&](int rank, optim::Decentralized&, Checkpointer& checkpoints) {
            const auto resumed = checkpoints.resume();
            EXPECT_TRUE(resumed && !resumed->is_exact);
            expect_tensors(job.model(rank), mean_of({1, 3}));
          });
}

TEST_F(CheckpointerMean, RanksWhoseFilesCannotBeSeenAreNotLeftOut) {
  save("push-sum");
  const std::filesystem::path record = record_file(folder() / "step-5", 2);
  std::filesystem::remove(record);
  std::filesystem::create_symlink(std::string(300, 'x'), record);  // longer than a name can be
  const Job job(4, "push-sum", 50);
  test::expect_throw<JointError>(
      [&] {
        job.run({.folder = folder(), .resumes_from_mean = true},
                [](int, optim::Decentralized&, Checkpointer& checkpoints) {
                  static_cast<void>(checkpoints.resume());
                });
      },
      {"rank-2.json", "File name too long"});
}

/// A rank alone, to which another one is lost in all_gather() when it is told so.
class LosingGroup final : public transport::Group {
 public:
  explicit LosingGroup(transport::Group& group) : group_(group) {}

  [[nodiscard]] Rank rank() const override { return group_.rank(); }
  [[nodiscard]] int size() const override { return group_.size(); }
  [[nodiscard]] std::string_view transport() const override { return group_.transport(); }
  [[nodiscard]] bool shares_memory_with(Rank other) const override {
    return group_.shares_memory_with(other);
  }
  [[nodiscard]] transport::Background& background() override { return group_.background(); }
  [[nodiscard]] std::unique_ptr<transport::Channel> make_channel(
      const transport::ChannelOptions& options) override {
    return group_.make_channel(options);
  }
  [[nodiscard]] std::unique_ptr<transport::Region> make_region(std::size_t bytes) override {
    return group_.make_region(bytes);
  }
  [[nodiscard]] std::unique_ptr<transport::Mean> make_mean(
      const VectorView& vector, const Patience& patience,
      std::shared_ptr<const void> memory) override {
    return group_.make_mean(vector, patience, std::move(memory));
  }
  [[nodiscard]] std::unique_ptr<transport::Largest> make_largest(std::size_t count) override {
    return group_.make_largest(count);
  }
  void meet(std::string_view what) override { group_.meet(what); }
  void barrier() override { group_.barrier(); }
  void broadcast(std::span<std::byte> bytes, Rank root) override { group_.broadcast(bytes, root); }
  [[nodiscard]] std::unique_ptr<transport::Group> split(int color, int key) override {
    return group_.split(color, key);
  }
  [[nodiscard]] std::vector<std::string> all_gather(std::string_view text) override {
    look();
    return group_.all_gather(text);
  }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) override {
    look();
    const std::vector<std::vector<std::byte>> parts =
        group_.all_gather(std::vector<std::byte>(own.begin(), own.end()));
    auto to = all.begin();
    for (const std::vector<std::byte>& part : parts) to = std::ranges::copy(part, to).out;
  }

  void lose() { loses_ = true; }
  [[nodiscard]] bool has_lost() const { return has_lost_; }

 private:
  void look() {
    if (!loses_) return;
    has_lost_ = true;
    throw TimeoutError(1, "Rank 1 is lost.");
  }

  transport::Group& group_;
  std::atomic<bool> loses_ = false;
  std::atomic<bool> has_lost_ = false;
};

/// The thread that reads a set works in the memory of resume().
TEST_F(CheckpointerMean, AResumeThatLosesARankWaitsForItsOwnReader) {
  save("gossip-sgd");
  const std::filesystem::path pipe = record_file(folder() / "step-5", 0);
  std::filesystem::remove(pipe);
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);

  const transport::local::Cluster cluster(1);
  const auto group = cluster.group(0);
  LosingGroup losing(*group);
  const auto model = test::make<Normed>(50);
  const auto optimizer =
      optim::make_optimizer("gossip-sgd", *group, *model, test::momentum_sgd(*model),
                            topology::ring(1), test::method_options());
  Checkpointer checkpoints(losing, *model, *optimizer, {.folder = folder()});
  std::atomic<bool> is_read = false;
  std::jthread disk([&] {
    const int file = ::open(pipe.c_str(), O_WRONLY);  // comes back once somebody reads
    losing.lose();
    while (!losing.has_lost()) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    is_read = true;
    ::close(file);
  });
  test::expect_throw<TimeoutError>([&] { static_cast<void>(checkpoints.resume()); }, {"is lost"});
  EXPECT_TRUE(is_read);
}

}  // namespace
}  // namespace gossip::checkpoint
