// SPDX-License-Identifier: Apache-2.0
#include <torch/torch.h>

#include <libgossip/base/error.h>
#include <libgossip/optim/gossip_sgd.h>
#include <libgossip/topology/families.h>

#include "commands.h"
#include "common/model.h"
#include "measure.h"

namespace gossip::bench {

void overhead_command(Session& session, int iterations, int repetitions) {
  GOSSIP_CHECK(session.size() == 1, "The overhead of one rank needs 1 rank, not {}: mpirun -n 1.",
               session.size());
  constexpr std::int64_t kBatch = 64;
  torch::manual_seed(1);
  const torch::Tensor images = torch::rand({kBatch, 1, 28, 28});
  const torch::Tensor labels = torch::randint(10, {kBatch});
  examples::Cnn plain_model;
  torch::optim::SGD plain(plain_model->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));
  examples::Cnn gossip_model;
  optim::GossipSGD wrapped(
      session, *gossip_model,
      torch::optim::SGD(gossip_model->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9)),
      topology::ring(1));
  const auto iterate = [&](torch::optim::Optimizer& optimizer, examples::Cnn& model) {
    for (int i = 0; i < iterations; ++i) {
      optimizer.zero_grad();
      torch::cross_entropy_loss(model->forward(images), labels).backward();
      optimizer.step();
    }
  };
  const auto times = measure(session,
                             {{"plain LibTorch", [&] { iterate(plain, plain_model); }},
                              {"GossipSGD", [&] { iterate(wrapped, gossip_model); }}},
                             repetitions);
  print_table(session, times);
  report(session, "shared", "single_rank_overhead", median_ratio(times[1], times[0]), "ratio",
         {{"ranks", 1},
          {"batch_size", kBatch},
          {"iterations", iterations},
          {"repetitions", repetitions}});
}

}  // namespace gossip::bench
