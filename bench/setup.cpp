// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <torch/torch.h>

#include <libgossip/optim/gossip_sgd.h>
#include <libgossip/topology/schedules.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {
namespace {

/// The 161 parameters of ResNet-50, 25.6 million elements; it computes nothing.
struct ResNet50Parameters : torch::nn::Module {
  ResNet50Parameters() {
    convolution(3, 64, 7);
    std::int64_t in = 64;
    constexpr std::array<std::int64_t, 4> kBlocks{3, 4, 6, 3};
    for (std::size_t stage = 0; stage < kBlocks.size(); ++stage) {
      const std::int64_t width = std::int64_t{64} << stage;
      for (std::int64_t block = 0; block < kBlocks[stage]; ++block) {
        convolution(in, width, 1);
        convolution(width, width, 3);
        convolution(width, 4 * width, 1);
        if (block == 0) convolution(in, 4 * width, 1);
        in = 4 * width;
      }
    }
    add({1000, in});
    add({1000});
  }

  /// A convolution without bias and its batch norm.
  void convolution(std::int64_t in, std::int64_t out, std::int64_t width) {
    add({out, in, width, width});
    add({out});
    add({out});
  }

  void add(torch::IntArrayRef shape) {
    register_parameter(fmt::format("p{}", parameters().size()), torch::zeros(shape));
  }
};

/// A block of this size is mapped anew by malloc: its pages were never touched.
std::unique_ptr<char[]> fresh(std::size_t bytes) {
  return std::unique_ptr<char[]>(new char[bytes]);
}

/// A copy that the compiler cannot leave out.
void copy(char* target, const char* source, std::size_t bytes) {
  std::memcpy(target, source, bytes);
  asm volatile("" : : "r"(target) : "memory");
}

}  // namespace

void setup_command(Session& session, int repetitions) {
  std::size_t bytes = 0;
  std::size_t tensors = 0;
  for (const torch::Tensor& parameter : ResNet50Parameters().parameters()) {
    bytes += parameter.nbytes();
    ++tensors;
  }
  const auto schedule = topology::one_peer_exponential(session.size());
  const std::unique_ptr<char[]> model_bytes = fresh(bytes);
  std::memset(model_bytes.get(), 1, bytes);
  std::unique_ptr<ResNet50Parameters> module;
  std::unique_ptr<optim::GossipSGD> optimizer;
  const auto times =
      measure(session,
              {{"(a new module; not counted)",
                [&] {
                  optimizer.reset();
                  module = std::make_unique<ResNet50Parameters>();
                }},
               {"construction to the end of the first round",
                [&] {
                  optimizer = std::make_unique<optim::GossipSGD>(
                      session, *module, torch::optim::SGD(module->parameters(), 0.1), schedule);
                  optimizer->step();
                }},
               {"touching and copying the same bytes",
                [&] {
                  // What the first round needs: the flat model (touched and filled, then rank 0's
                  // values), a published copy (touched and filled), and the pass that mixes a
                  // neighbor's copy into the model.
                  const std::unique_ptr<char[]> flat = fresh(bytes);
                  const std::unique_ptr<char[]> published = fresh(bytes);
                  copy(flat.get(), model_bytes.get(), bytes);
                  copy(flat.get(), model_bytes.get(), bytes);
                  copy(published.get(), flat.get(), bytes);
                  copy(flat.get(), published.get(), bytes);
                }}},
              repetitions);
  optimizer.reset();
  print_table(session, times);
  report(session, "shared", "setup_over_first_touch", median_ratio(times[1], times[2]), "ratio",
         {{"ranks", session.size()},
          {"tensors", tensors},
          {"bytes", bytes},
          {"repetitions", repetitions}});
}

}  // namespace gossip::bench
