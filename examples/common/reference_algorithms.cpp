// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <common/reference_algorithms.h>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <libgossip/algorithm/all_reduce.h>
#include <libgossip/algorithm/choco_sgd.h>
#include <libgossip/algorithm/decentlam.h>
#include <libgossip/algorithm/deep_squeeze.h>
#include <libgossip/algorithm/diloco.h>
#include <libgossip/algorithm/ef_sgd.h>
#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/algorithm/extra.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/hierarchical_local_sgd.h>
#include <libgossip/algorithm/kgt.h>
#include <libgossip/algorithm/led.h>
#include <libgossip/algorithm/local_sgd.h>
#include <libgossip/algorithm/lsgt.h>
#include <libgossip/algorithm/momentum_tracking.h>
#include <libgossip/algorithm/push_diging.h>
#include <libgossip/algorithm/push_pull.h>
#include <libgossip/algorithm/qg_dsgdm.h>
#include <libgossip/algorithm/scaffold.h>
#include <libgossip/algorithm/slowmo.h>
#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/engine/push_sum_worker.h>
#include <libgossip/engine/staged_worker.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/weights.h>

namespace gossip::examples {
namespace {

using nlohmann::ordered_json;
using Rows = std::vector<std::vector<double>>;

/// The state of all workers after some iterations: rows by worker.
struct Snapshot {
  Rows x;
  Rows momentum;            // of the local update
  std::vector<Rows> state;  // the method's own vectors
  std::vector<double> weights;
};

/// How an algorithm of the file is run with this library.
struct Plan {
  /// Of one worker; empty: push-sum.
  std::function<std::shared_ptr<const algorithm::Algorithm>(Rank rank)> make = {};
  std::optional<engine::Matrices> matrices = {};
  double rate = 0.0;
  double momentum = 0.0;
  std::int64_t steps_per_iteration = 1;
  bool has_common_start = false;
  bool is_averaging_only = false;
  std::function<ordered_json(const Snapshot&)> arrays = [](const Snapshot&) {
    return ordered_json::object();
  };
};

using MakePlan = std::function<Plan(const ReferenceProblem&, const std::string& name)>;

Rows rows_of(std::size_t size, const std::function<std::vector<double>(std::size_t)>& row) {
  Rows rows;
  for (std::size_t i = 0; i < size; ++i) rows.push_back(row(i));
  return rows;
}

Rows gradients(const ReferenceProblem& problem, const Rows& x) {
  return rows_of(x.size(),
                 [&](std::size_t i) { return problem.gradient(static_cast<Rank>(i), x[i]); });
}

/// a + factor b.
Rows sum(const Rows& a, const Rows& b, double factor = 1.0) {
  Rows result = a;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t k = 0; k < a[i].size(); ++k) result[i][k] += factor * b[i][k];
  }
  return result;
}

Rows scaled(const Rows& rows, double factor) { return sum(sum(rows, rows, -1.0), rows, factor); }

Rows mixed(const topology::MixingMatrix& matrix, const Rows& rows) {
  Rows result = scaled(rows, 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) {
      const double weight = matrix(static_cast<Rank>(i), static_cast<Rank>(j));
      for (std::size_t k = 0; k < rows[i].size(); ++k) result[i][k] += weight * rows[j][k];
    }
  }
  return result;
}

std::vector<double> mean_of(const Rows& rows) {
  std::vector<double> mean(rows.front().size(), 0.0);
  for (const std::vector<double>& row : rows) {
    for (std::size_t k = 0; k < mean.size(); ++k) {
      mean[k] += row[k] / static_cast<double>(rows.size());
    }
  }
  return mean;
}

/// The file's name of a vector of the method's own.
std::function<ordered_json(const Snapshot&)> own(std::vector<const char*> names,
                                                 std::size_t first = 0) {
  return [=](const Snapshot& snapshot) {
    ordered_json result;
    for (std::size_t i = 0; i < names.size(); ++i) {
      result[names[i]] = snapshot.state[first + i];
    }
    return result;
  };
}

/// The file counts the tracker after the next gradient was added, this library before; or it keeps
/// only what the tracker is besides the gradient.
Rows advanced_tracker(const ReferenceProblem& problem, const Snapshot& snapshot) {
  const Rows advanced = sum(snapshot.state[0], gradients(problem, snapshot.x));
  return snapshot.state.size() == 1 ? advanced : sum(advanced, snapshot.state[1], -1.0);
}

std::function<ordered_json(const Snapshot&)> tracker(const ReferenceProblem& problem) {
  return [&problem](const Snapshot& snapshot) {
    return ordered_json{{"y", advanced_tracker(problem, snapshot)},
                        {"g", gradients(problem, snapshot.x)}};
  };
}

template <class Method, class... Arguments>
auto maker(Arguments... arguments) {
  return [=](Rank) { return std::make_shared<const Method>(arguments...); };
}

MakePlan gossip_sgd(algorithm::MixingOrder order) {
  return [order](const ReferenceProblem& problem, const std::string& name) {
    return Plan{.make = maker<algorithm::GossipSGD>(order),
                .matrices = problem.matrices(name, "W"),
                .rate = problem.number(name, "eta")};
  };
}

MakePlan gradient_tracking(algorithm::TrackingOrder order) {
  return [order](const ReferenceProblem& problem, const std::string& name) {
    Plan plan{.make = maker<algorithm::GradientTracking>(order),
              .matrices = problem.matrices(name, "W"),
              .rate = problem.number(name, "eta"),
              .arrays = tracker(problem)};
    if (order != algorithm::TrackingOrder::kATC) return plan;
    // Here the tracker of the next step is mixed, too.
    plan.arrays = [&problem, matrix = plan.matrices->pull.matrix(0)](const Snapshot& snapshot) {
      return ordered_json{{"y", mixed(matrix, advanced_tracker(problem, snapshot))},
                          {"g", gradients(problem, snapshot.x)}};
    };
    return plan;
  };
}

template <class Method>
MakePlan with_momentum(const char* parameter, std::vector<const char*> names) {
  return [=](const ReferenceProblem& problem, const std::string& name) {
    return Plan{.make = maker<Method>(problem.number(name, parameter)),
                .matrices = problem.matrices(name, "W"),
                .rate = problem.number(name, "eta"),
                .arrays = own(names)};
  };
}

MakePlan push_pull(algorithm::PushPullOrder order) {
  return [order](const ReferenceProblem& problem, const std::string& name) {
    return Plan{
        .make = maker<algorithm::PushPull>(order),
        .matrices = engine::Matrices(problem.matrices(name, "R"), problem.matrices(name, "C")),
        .rate = problem.number(name, "eta"),
        .arrays = tracker(problem)};
  };
}

MakePlan device_sampling(algorithm::Stepping stepping) {
  return [stepping](const ReferenceProblem& problem, const std::string& name) {
    std::vector<topology::Arc> arcs;
    for (const auto& arc : problem.json().at("matrices").at("directed_arcs_sender_receiver")) {
      arcs.push_back({arc.at(0).get<Rank>(), arc.at(1).get<Rank>()});
    }
    const topology::Schedule graph =
        topology::Graph::directed(problem.num_workers(), arcs, "directed");
    const topology::Sampling sampling(problem.num_workers(),
                                      problem.json()
                                          .at("device_sampling")
                                          .at("active_sets")
                                          .get<std::vector<std::vector<Rank>>>());
    return Plan{.make =
                    [=](Rank rank) {
                      return std::make_shared<const algorithm::PushPull>(
                          [=](std::int64_t step) { return sampling.is_active(step, rank); },
                          stepping);
                    },
                .matrices = engine::Matrices(topology::sampled_rows(graph, sampling),
                                             topology::sampled_columns(graph, sampling)),
                .rate = problem.number(name, "eta"),
                .arrays = own({"y", "g"})};
  };
}

/// Numerators and weights.
ordered_json push_sum_arrays(const Snapshot& snapshot) {
  const Rows numerators = rows_of(snapshot.x.size(), [&](std::size_t i) {
    std::vector<double> row = snapshot.x[i];
    for (double& entry : row) entry *= snapshot.weights[i];
    return row;
  });
  return {{"u", numerators}, {"w", snapshot.weights}};
}

Plan push_sum(const ReferenceProblem& problem, const std::string& name) {
  Plan plan{.matrices = problem.matrices(name, "C"), .arrays = push_sum_arrays};
  plan.is_averaging_only = name == "push_sum_average";
  if (!plan.is_averaging_only) plan.rate = problem.number(name, "eta");
  return plan;
}

MakePlan choco(bool overlapped) {
  return [overlapped](const ReferenceProblem& problem, const std::string& name) {
    return Plan{.make = maker<algorithm::ChocoSGD>(problem.number(name, "gamma"), overlapped),
                .matrices = problem.matrices(name, "W"),
                .rate = problem.number(name, "eta"),
                .arrays = own({"xhat"})};
  };
}

const std::map<std::string, MakePlan>& plans() {
  using algorithm::MixingOrder;
  using algorithm::PushPullOrder;
  using algorithm::Stepping;
  using algorithm::TrackingOrder;
  using Problem = const ReferenceProblem&;
  using Name = const std::string&;
  static const std::map<std::string, MakePlan> kPlans{
      {"allreduce_gd",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::AllReduce>(),
                     .rate = problem.number(name, "eta"),
                     .has_common_start = true};
       }},
      {"allreduce_heavyball",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::AllReduce>(),
                     .rate = problem.number(name, "eta"),
                     .momentum = problem.number(name, "mu"),
                     .has_common_start = true,
                     .arrays = [](const Snapshot& s) {
                       return ordered_json{{"v", s.momentum}};
                     }};
       }},
      {"consensus_mh",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::GossipSGD>(),
                     .matrices = problem.matrices(name, "W"),
                     .is_averaging_only = true};
       }},
      {"push_sum_average", push_sum},
      {"dpsgd_atc", gossip_sgd(MixingOrder::kAdaptThenCombine)},
      {"dpsgd_cta", gossip_sgd(MixingOrder::kCombineThenAdapt)},
      {"diffusion_cta", gossip_sgd(MixingOrder::kDiffusion)},
      {"dpsgd_atc_one_peer_exp", gossip_sgd(MixingOrder::kAdaptThenCombine)},
      {"dpsgdm_atc",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::GossipSGD>(),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta"),
                     .momentum = problem.number(name, "mu"),
                     .arrays = [](const Snapshot& s) {
                       return ordered_json{{"v", s.momentum}};
                     }};
       }},
      {"qg_dsgdm", with_momentum<algorithm::QGDSGDm>("mu", {"m"})},
      {"decentlam", with_momentum<algorithm::DecentLaM>("beta", {"m"})},
      {"momentum_tracking", with_momentum<algorithm::MomentumTracking>("beta", {"u", "c"})},
      {"local_sgd",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::LocalSGD>(problem.count(name, "H")),
                     .rate = problem.number(name, "eta"),
                     .has_common_start = true};
       }},
      {"local_sgd_gossip",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::GossipSGD>(MixingOrder::kAdaptThenCombine,
                                                         problem.count(name, "H")),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta")};
       }},
      {"hierarchical_local_sgd",
       [](Problem problem, Name name) {
         const auto groups = problem.json()
                                 .at("algorithms")
                                 .at(name)
                                 .at("parameters")
                                 .at("groups")
                                 .get<std::vector<std::vector<Rank>>>();
         return Plan{.make = maker<algorithm::HierarchicalLocalSGD>(problem.count(name, "H1"),
                                                                    problem.count(name, "H2")),
                     .matrices = topology::average_within(problem.num_workers(), groups),
                     .rate = problem.number(name, "eta"),
                     .has_common_start = true};
       }},
      {"slowmo",
       [](Problem problem, Name name) {
         const std::int64_t steps = problem.count(name, "H");
         return Plan{.make = maker<algorithm::SlowMo>(steps, problem.number(name, "alpha"),
                                                      problem.number(name, "beta")),
                     .rate = problem.number(name, "gamma"),
                     .steps_per_iteration = steps,
                     .has_common_start = true,
                     .arrays = own({"u"}, 1)};
       }},
      {"diloco",
       [](Problem problem, Name name) {
         const std::int64_t steps = problem.count(name, "H");
         return Plan{.make = maker<algorithm::DiLoCo>(steps, problem.number(name, "eta_out"),
                                                      problem.number(name, "mu")),
                     .rate = problem.number(name, "gamma"),
                     .steps_per_iteration = steps,
                     .has_common_start = true,
                     .arrays = own({"v"}, 1)};
       }},
      {"scaffold",
       [](Problem problem, Name name) {
         const std::int64_t steps = problem.count(name, "K");
         return Plan{.make = maker<algorithm::Scaffold>(steps, problem.number(name, "eta_g")),
                     .rate = problem.number(name, "eta_l"),
                     .steps_per_iteration = steps,
                     .has_common_start = true,
                     .arrays = [](const Snapshot& s) {
                       return ordered_json{{"c", s.state[1]}, {"ci", sum(s.state[0], s.state[1])}};
                     }};
       }},
      {"gt_diging", gradient_tracking(TrackingOrder::kDIGing)},
      {"gt_semi_atc", gradient_tracking(TrackingOrder::kSemiATC)},
      {"gt_atc", gradient_tracking(TrackingOrder::kATC)},
      {"d2",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::ExactDiffusion>(),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta")};
       }},
      {"exact_diffusion",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::ExactDiffusion>(),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta"),
                     .arrays = own({"psi"})};
       }},
      {"extra",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::EXTRA>(),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta")};
       }},
      {"led",
       [](Problem problem, Name name) {
         const std::int64_t steps = problem.count(name, "tau");
         return Plan{.make = maker<algorithm::LED>(steps, problem.number(name, "beta")),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "alpha"),
                     .steps_per_iteration = steps,
                     .arrays = own({"y"})};
       }},
      {"kgt",
       [](Problem problem, Name name) {
         const std::int64_t steps = problem.count(name, "K");
         return Plan{.make = maker<algorithm::KGT>(steps, problem.number(name, "eta_s")),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta_c"),
                     .steps_per_iteration = steps,
                     .arrays = own({"c"})};
       }},
      {"lsgt",
       [](Problem problem, Name name) {
         const std::int64_t steps = problem.count(name, "K");
         return Plan{.make = maker<algorithm::LSGT>(steps),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta"),
                     .steps_per_iteration = steps,
                     .arrays = tracker(problem)};
       }},
      {"sgp", push_sum},
      {"sgp_one_peer_exp", push_sum},
      {"push_diging",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::PushDIGing>(),
                     .matrices = problem.matrices(name, "C"),
                     .rate = problem.number(name, "eta"),
                     .arrays = [&problem](const Snapshot& s) {
                       ordered_json result = push_sum_arrays(s);
                       result["y"] = advanced_tracker(problem, s);
                       result["g"] = gradients(problem, s.x);
                       return result;
                     }};
       }},
      {"ab", push_pull(PushPullOrder::kAB)},
      {"push_pull", push_pull(PushPullOrder::kPushPull)},
      {"push_pull_device_sampling", device_sampling(Stepping::kActive)},
      {"push_pull_device_sampling_all_step", device_sampling(Stepping::kAll)},
      {"choco_sgd_top1", choco(false)},
      {"choco_sgd_top1_overlapped", choco(true)},
      {"deepsqueeze_top1",
       [](Problem problem, Name name) {
         return Plan{.make = maker<algorithm::DeepSqueeze>(problem.number(name, "gamma")),
                     .matrices = problem.matrices(name, "W"),
                     .rate = problem.number(name, "eta"),
                     .arrays = own({"delta"})};
       }},
      {"ef_sgd_top1", [](Problem problem, Name name) {
         const double rate = problem.number(name, "eta");
         return Plan{.make = maker<algorithm::EFSGD>(),
                     .matrices = topology::complete(problem.num_workers()),
                     .rate = rate,
                     .has_common_start = true,
                     // The file counts the error in units of the model.
                     .arrays = [rate](const Snapshot& s) {
                       return ordered_json{{"e", scaled(s.state[0], rate)}};
                     }};
       }}};
  return kPlans;
}

/// One worker: its model, its gradient, its local update.
class WorkerOfProblem {
 public:
  WorkerOfProblem(const ReferenceProblem& problem, const Plan& plan, transport::Group& group)
      : problem_(problem),
        plan_(plan),
        group_(group),
        x_(problem.start(group.rank(), plan.has_common_start)),
        gradient_(x_.size(), 0.0),
        momentum_(x_.size(), 0.0) {
    const auto update = [this] {
      for (std::size_t k = 0; k < x_.size(); ++k) {
        momentum_[k] = plan_.momentum * momentum_[k] + gradient_[k];
        x_[k] -= plan_.rate * momentum_[k];
      }
    };
    if (!plan.make) {
      worker_ = std::make_unique<engine::PushSumWorker>(
          group, plan.matrices->push, std::vector<VectorView>{std::span<double>(x_)}, update);
      return;
    }
    // The matrices are the file's, and may be what a method does not bear.
    worker_ = std::make_unique<engine::StagedWorker>(
        group, plan.make(group.rank()),
        plan.matrices.value_or(engine::Matrices(topology::complete(group.size()))),
        engine::StagedWorker::Vectors{{std::span<double>(x_)}, {std::span<double>(gradient_)}},
        engine::StagedWorker::Caller{.local_update = update,
                                     .learning_rate = [this] { return plan_.rate; }},
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
  [[nodiscard]] Snapshot snapshot() {
    nlohmann::json mine{{"x", x_},
                        {"momentum", momentum_},
                        {"weight", worker_->position().weight},
                        {"state", nlohmann::json::array()}};
    for (const engine::StateVector& state : worker_->state()) {
      const std::span<double> values = state.vector.as<double>();
      mine["state"].push_back(std::vector<double>(values.begin(), values.end()));
    }
    Snapshot result;
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
  const ReferenceProblem& problem_;
  const Plan& plan_;
  transport::Group& group_;
  std::vector<double> x_;
  std::vector<double> gradient_;
  std::vector<double> momentum_;
  std::unique_ptr<engine::Worker> worker_;
};

ordered_json record_of(const ReferenceProblem& problem, const Plan& plan,
                       const Snapshot& snapshot) {
  ordered_json record{{"x", snapshot.x}};
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
    for (const auto& [name, plan] : plans()) names.push_back(name);
    return names;
  }();
  return kNames;
}

nlohmann::ordered_json run_algorithm(const ReferenceProblem& problem, const std::string& algorithm,
                                     transport::Group& group,
                                     const std::vector<std::int64_t>& iterations) {
  const auto found = plans().find(algorithm);
  GOSSIP_CHECK(found != plans().end(), "{}",
               unknown_name("algorithm", algorithm, known_algorithms()));
  GOSSIP_CHECK(group.size() == problem.num_workers(),
               "The problem has {} workers, but there are {} ranks: start as many, or one.",
               problem.num_workers(), group.size());
  const Plan plan = found->second(problem, algorithm);
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

}  // namespace gossip::examples
