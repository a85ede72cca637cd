// SPDX-License-Identifier: Apache-2.0
// The optimizers' iterates against the reference on 8 ranks: see transport/on_ranks.h.
#include <memory>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <libgossip/optim/all_reduce.h>
#include <libgossip/optim/bias_corrected.h>
#include <libgossip/optim/gossip_sgd.h>

#include "engine/quadratic.h"
#include "transport/on_ranks.h"

namespace gossip::optim {
namespace {

using test::Quadratic;
using test::ReferenceMethod;
using transport::Group;

torch::Tensor tensor_of(const std::vector<double>& values) {
  return torch::tensor(values, torch::kFloat64);
}

/// A module whose loss is one rank's quadratic.
struct QuadraticModule : torch::nn::Module {
  QuadraticModule(const Quadratic& problem, Rank rank, bool has_common_start)
      : center(tensor_of(problem.b(rank))) {
    x = register_parameter("x", tensor_of(problem.start(rank, has_common_start)));
    for (const std::vector<double>& row : problem.a(rank)) rows.push_back(tensor_of(row));
  }
  [[nodiscard]] torch::Tensor loss() const {
    const torch::Tensor distance = x - center;
    return 0.5 * torch::dot(distance, torch::mv(torch::stack(rows), distance));
  }
  torch::Tensor x;
  torch::Tensor center;
  std::vector<torch::Tensor> rows;
};

std::unique_ptr<Decentralized> optimizer_of(const ReferenceMethod& method, const Quadratic& problem,
                                            Group& group, torch::nn::Module& module) {
  torch::optim::SGD local(module.parameters(),
                          torch::optim::SGDOptions(method.rate).momentum(method.momentum));
  if (method.is_all_reduce) {
    return std::make_unique<AllReduce>(group, module, std::move(local),
                                       AllReduceOptions().bucket_bytes(24));
  }
  return std::make_unique<GossipSGD>(group, module, std::move(local), method.schedule(problem),
                                     GossipSGDOptions()
                                         .order(method.order)
                                         .local_steps(method.local_steps)
                                         .initial(Initial::kKeep));
}

/// What the module of `rank` holds after `step` steps. With diffusion that is the mixed model.
std::vector<double> expected_model(const ReferenceMethod& method, const Quadratic& problem,
                                   int step, Rank rank) {
  if (method.order != algorithm::MixingOrder::kDiffusion) {
    return problem.iterate(method.name, step, rank);
  }
  const topology::MixingMatrix matrix = method.schedule(problem).matrix(step);
  std::vector<double> mixed(5, 0.0);
  for (Rank other = 0; other < 8; ++other) {
    const std::vector<double> theirs = problem.iterate(method.name, step, other);
    for (std::size_t k = 0; k < mixed.size(); ++k) mixed[k] += matrix(rank, other) * theirs[k];
  }
  return mixed;
}

class OptimizerReference : public testing::TestWithParam<ReferenceMethod> {};

TEST_P(OptimizerReference, IteratesAgree) {
  const ReferenceMethod& method = GetParam();
  const Quadratic problem;
  test::on_ranks(8, [&](Group& group) {
    EXPECT_EQ(group.size(), 8);
    QuadraticModule module(problem, group.rank(), method.has_common_start);
    const auto optimizer = optimizer_of(method, problem, group, module);

    int step = 0;
    for (const int snapshot : test::kReferenceSteps) {
      for (; step < snapshot; ++step) {
        optimizer->zero_grad();
        module.loss().backward();
        optimizer->step();
      }
      const std::vector<double> expected = expected_model(method, problem, snapshot, group.rank());
      for (std::size_t k = 0; k < expected.size(); ++k) {
        EXPECT_NEAR(module.x[static_cast<std::int64_t>(k)].item<double>(), expected[k], 1e-10)
            << "step " << snapshot << ", element " << k;
      }
    }
    EXPECT_EQ(optimizer->steps(), 100);
  });
}

INSTANTIATE_TEST_SUITE_P(Methods, OptimizerReference, testing::ValuesIn(test::kReferenceMethods),
                         test::name_of);

/// Methods with vectors of their own, at the rate 1/16.
using MakeBiasCorrected = std::unique_ptr<Decentralized> (*)(const Quadratic&, Group&,
                                                             torch::nn::Module&);
struct BiasCorrected {
  const char* name;
  MakeBiasCorrected make;
};

torch::optim::SGD plain(torch::nn::Module& module) {
  return torch::optim::SGD(module.parameters(), torch::optim::SGDOptions(1.0 / 16));
}

template <TrackingOrder order>
std::unique_ptr<Decentralized> tracking(const Quadratic& problem, Group& group,
                                        torch::nn::Module& module) {
  return std::make_unique<GradientTracking>(
      group, module, plain(module), problem.mixing_matrix(),
      GradientTrackingOptions().order(order).initial(Initial::kKeep));
}

std::unique_ptr<Decentralized> exact_diffusion(const Quadratic& problem, Group& group,
                                               torch::nn::Module& module) {
  return std::make_unique<ExactDiffusion>(group, module, plain(module), problem.mixing_matrix(),
                                          ExactDiffusionOptions().initial(Initial::kKeep));
}

class BiasCorrectedReference : public testing::TestWithParam<BiasCorrected> {};

TEST_P(BiasCorrectedReference, IteratesAgree) {
  const BiasCorrected& method = GetParam();
  const Quadratic problem;
  test::on_ranks(8, [&](Group& group) {
    QuadraticModule module(problem, group.rank(), false);
    const auto optimizer = method.make(problem, group, module);
    int step = 0;
    for (const int snapshot : test::kReferenceSteps) {
      for (; step < snapshot; ++step) {
        optimizer->zero_grad();
        module.loss().backward();
        optimizer->step();
      }
      const std::vector<double> expected = problem.iterate(method.name, snapshot, group.rank());
      for (std::size_t k = 0; k < expected.size(); ++k) {
        EXPECT_NEAR(module.x[static_cast<std::int64_t>(k)].item<double>(), expected[k], 1e-10)
            << "step " << snapshot << ", element " << k;
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(
    Methods, BiasCorrectedReference,
    testing::Values(BiasCorrected{"gt_semi_atc", tracking<TrackingOrder::kSemiATC>},
                    BiasCorrected{"gt_diging", tracking<TrackingOrder::kDIGing>},
                    BiasCorrected{"gt_atc", tracking<TrackingOrder::kATC>},
                    BiasCorrected{"exact_diffusion", exact_diffusion}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace gossip::optim
