// SPDX-License-Identifier: Apache-2.0
#include "reference/algorithms.h"

#include <algorithm>
#include <cmath>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/topology/families.h>

#include "reference/plans.h"

namespace gossip::test {
namespace {

/// One worker: its model, its gradient, its local update.
class WorkerOfProblem {
 public:
  WorkerOfProblem(const ReferenceProblem& problem, const ReferencePlan& plan,
                  transport::Group& group)
      : problem_(problem),
        plan_(plan),
        group_(group),
        x_(problem.start(group.rank(), plan.has_common_start)),
        gradient_(x_.size(), 0.0),
        momentum_(x_.size(), 0.0) {
    // The matrices are the file's, and may be what a method does not bear.
    worker_ = std::make_unique<engine::StagedWorker>(
        group, plan.make(group.rank()),
        plan.matrices.value_or(topology::Matrices(topology::complete(group.size()))), port_,
        engine::StagedWorkerOptions{
            .codec = std::make_shared<kernels::TopK>(1.0 / static_cast<double>(x_.size())),
            .checks_matrices = false});
  }

  void iterate() {
    for (std::int64_t step = 0; step < plan_.steps_per_iteration; ++step) {
      // Diffusion mixes at the start of a step: not before it is sure that there is one.
      worker_->prepare();
      if (worker_->needs_gradient()) {
        std::ranges::copy(problem_.gradient(group_.rank(), x_), gradient_.begin());
      }
      worker_->finish();
    }
  }

  /// Of all workers, on every rank.
  [[nodiscard]] ReferenceSnapshot snapshot() {
    nlohmann::json mine{{"x", x_},
                        {"momentum", momentum_},
                        {"weight", worker_->position().weight},
                        {"state", nlohmann::json::array()}};
    for (const engine::StateVector& state : worker_->state()) {
      const std::span<double> values = state.vector.as<double>();
      mine["state"].push_back(std::vector<double>(values.begin(), values.end()));
    }
    ReferenceSnapshot result;
    for (const std::string& text : group_.all_gather(mine.dump())) {
      const nlohmann::json one = nlohmann::json::parse(text);
      result.x.push_back(one.at("x").get<std::vector<double>>());
      result.momentum.push_back(one.at("momentum").get<std::vector<double>>());
      result.weights.push_back(one.at("weight").get<double>());
      result.state.resize(one.at("state").size());
      for (std::size_t i = 0; i < result.state.size(); ++i) {
        result.state[i].push_back(one.at("state").at(i).get<std::vector<double>>());
      }
    }
    return result;
  }

 private:
  void update() {
    for (std::size_t k = 0; k < x_.size(); ++k) {
      momentum_[k] = plan_.momentum * momentum_[k] + gradient_[k];
      x_[k] -= plan_.rate * momentum_[k];
    }
  }

  const ReferenceProblem& problem_;
  const ReferencePlan& plan_;
  transport::Group& group_;
  std::vector<double> x_;
  std::vector<double> gradient_;
  std::vector<double> momentum_;
  engine::PlainPort port_{{std::span<double>(x_)},
                          {std::span<double>(gradient_)},
                          [this] { update(); },
                          [this] { return plan_.rate; }};
  std::unique_ptr<engine::Worker> worker_;
};

std::vector<double> mean_of(const Rows& rows) {
  std::vector<double> mean(rows.front().size(), 0.0);
  for (const std::vector<double>& row : rows) {
    for (std::size_t k = 0; k < mean.size(); ++k) {
      mean[k] += row[k] / static_cast<double>(rows.size());
    }
  }
  return mean;
}

nlohmann::ordered_json record_of(const ReferenceProblem& problem, const ReferencePlan& plan,
                                 const ReferenceSnapshot& snapshot) {
  nlohmann::ordered_json record{{"x", snapshot.x}};
  record.update(plan.arrays(snapshot));
  const std::vector<double> mean = mean_of(snapshot.x);
  if (!plan.is_averaging_only) {
    const std::vector<double> best = problem.minimizer();
    double squares = 0.0;
    for (std::size_t k = 0; k < mean.size(); ++k) squares += std::pow(mean[k] - best[k], 2);
    record["dist_to_opt"] = std::sqrt(squares);
    record["f_gap"] = problem.loss(mean) - problem.loss(best);
  }
  double squares = 0.0;
  for (const std::vector<double>& row : snapshot.x) {
    for (std::size_t k = 0; k < mean.size(); ++k) squares += std::pow(row[k] - mean[k], 2);
  }
  record["consensus_rms"] = std::sqrt(squares / static_cast<double>(snapshot.x.size()));
  return record;
}

}  // namespace

const std::vector<std::string>& known_algorithms() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const auto& [name, plan] : reference_plans()) names.push_back(name);
    return names;
  }();
  return kNames;
}

nlohmann::ordered_json run_algorithm(const ReferenceProblem& problem, const std::string& algorithm,
                                     transport::Group& group,
                                     const std::vector<std::int64_t>& iterations) {
  const auto found = reference_plans().find(algorithm);
  GOSSIP_CHECK(found != reference_plans().end(), "{}",
               unknown_name("algorithm", algorithm, known_algorithms()));
  GOSSIP_CHECK(group.size() == problem.num_workers(),
               "The problem has {} workers, but there are {} ranks: start as many, or one.",
               problem.num_workers(), group.size());
  const ReferencePlan plan = found->second(problem, algorithm);
  WorkerOfProblem worker(problem, plan, group);
  nlohmann::ordered_json records;
  std::int64_t done = 0;
  for (const std::int64_t iteration : iterations) {
    GOSSIP_CHECK(iteration >= done, "The iterations must ascend, but {} comes after {}.", iteration,
                 done);
    for (; done < iteration; ++done) worker.iterate();
    records[std::to_string(iteration)] = record_of(problem, plan, worker.snapshot());
  }
  return records;
}

}  // namespace gossip::test
