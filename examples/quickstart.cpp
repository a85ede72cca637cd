// SPDX-License-Identifier: Apache-2.0
// Trains a small network on all ranks; each averages with one neighbor a step.
#include <fmt/format.h>
#include <torch/torch.h>

#include <libgossip/gossip.h>

int main(int argc, char** argv) {
  return gossip::run_main(argc, argv, [](gossip::Session& session) {
    torch::manual_seed(static_cast<std::uint64_t>(session.rank()));
    torch::nn::Sequential model(torch::nn::Linear(2, 32), torch::nn::Tanh(),
                                torch::nn::Linear(32, 1));

    gossip::optim::GossipSGD optimizer(session, *model, torch::optim::SGD(model->parameters(), 0.1),
                                       gossip::topology::one_peer_exponential(session.size()));

    for (int step = 0; step < 300; ++step) {
      const auto input = torch::rand({64, 2});  // every rank has data of its own
      const auto target = torch::sin(3 * input).sum(1, true);
      optimizer.zero_grad();
      torch::mse_loss(model->forward(input), target).backward();
      optimizer.step();
    }

    const double distance = optimizer.consensus_distance();
    optimizer.with_mean_model([&] {
      const auto input = torch::rand({1000, 2});
      const auto loss = torch::mse_loss(model->forward(input), torch::sin(3 * input).sum(1, true));
      if (session.rank() == 0) {
        fmt::print("{} ranks, loss of the mean model {:.5f}, consensus distance {:.5f}\n",
                   session.size(), loss.item<double>(), distance);
      }
    });
    return 0;
  });
}
