// SPDX-License-Identifier: Apache-2.0
#include "reference/plans.h"

#include <array>
#include <utility>

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
#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/algorithm/qg_dsgdm.h>
#include <libgossip/algorithm/scaffold.h>
#include <libgossip/algorithm/slowmo.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/weights.h>

namespace gossip::test {
namespace {

using nlohmann::ordered_json;
using Snapshot = ReferenceSnapshot;
using Plan = ReferencePlan;
using MakePlan = MakeReferencePlan;

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
        .matrices = topology::Matrices(problem.matrices(name, "R"), problem.matrices(name, "C")),
        .rate = problem.number(name, "eta"),
        .arrays = tracker(problem)};
  };
}

MakePlan device_sampling(algorithm::Stepping stepping) {
  return [stepping](const ReferenceProblem& problem, const std::string& name) {
    std::vector<topology::Arc> arcs;
    for (const auto& [sender, receiver] :
         problem.get<std::vector<std::array<Rank, 2>>>("/matrices/directed_arcs_sender_receiver")) {
      arcs.push_back({sender, receiver});
    }
    const topology::Schedule graph =
        topology::Graph::directed(problem.num_workers(), arcs, "directed");
    const topology::Sampling sampling(
        problem.num_workers(),
        problem.get<std::vector<std::vector<Rank>>>("/device_sampling/active_sets"));
    return Plan{.make =
                    [=](Rank rank) {
                      return std::make_shared<const algorithm::PushPull>(
                          [=](std::int64_t step) { return sampling.is_active(step, rank); },
                          stepping);
                    },
                .matrices = topology::Matrices(topology::sampled_rows(graph, sampling),
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
  Plan plan{.make = maker<algorithm::PushSumSGD>(),
            .matrices = problem.matrices(name, "C"),
            .arrays = push_sum_arrays};
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

}  // namespace

const std::map<std::string, MakeReferencePlan>& reference_plans() {
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
         const auto groups = problem.get<std::vector<std::vector<Rank>>>("/algorithms/" + name +
                                                                         "/parameters/groups");
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

}  // namespace gossip::test
