// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The reference problem of tests/reference/quadratic_n8.json and the methods that are tested
/// against it.

#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/graph.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

namespace gossip::test {

/// f_i(x) = 1/2 (x - b_i)^T A_i (x - b_i).
class Quadratic {
 public:
  Quadratic() {
    std::ifstream file(GOSSIP_TEST_REFERENCE_DIR "/quadratic_n8.json");
    data_ = nlohmann::json::parse(file);
  }

  [[nodiscard]] std::vector<std::vector<double>> a(Rank rank) const {
    return problem("A", rank).get<std::vector<std::vector<double>>>();
  }
  [[nodiscard]] std::vector<double> b(Rank rank) const {
    return problem("b", rank).get<std::vector<double>>();
  }
  [[nodiscard]] std::vector<double> start(Rank rank, bool is_common) const {
    return (is_common ? data_.at("problem").at("x0_common") : problem("x0", rank))
        .get<std::vector<double>>();
  }
  [[nodiscard]] std::vector<double> gradient(Rank rank, const std::vector<double>& x) const {
    const std::vector<std::vector<double>> matrix = a(rank);
    const std::vector<double> center = b(rank);
    std::vector<double> result(x.size(), 0.0);
    for (std::size_t r = 0; r < x.size(); ++r) {
      for (std::size_t c = 0; c < x.size(); ++c) result[r] += matrix[r][c] * (x[c] - center[c]);
    }
    return result;
  }
  [[nodiscard]] topology::Schedule mixing_matrix() const {
    return topology::MixingMatrix(
        data_.at("matrices").at("W").get<std::vector<std::vector<double>>>());
  }
  /// (I + W) / 2.
  [[nodiscard]] topology::Schedule lazy_matrix() const {
    return topology::lazy(mixing_matrix().matrix(0));
  }
  [[nodiscard]] topology::Schedule column_stochastic_matrix() const {
    return topology::MixingMatrix(
        data_.at("matrices").at("C").get<std::vector<std::vector<double>>>());
  }
  [[nodiscard]] topology::Graph directed_graph() const {
    std::vector<topology::Arc> arcs;
    for (const auto& arc : data_.at("matrices").at("directed_arcs_sender_receiver")) {
      arcs.push_back({arc.at(0).get<Rank>(), arc.at(1).get<Rank>()});
    }
    return topology::Graph::directed(8, arcs, "directed");
  }
  /// The push-sum weight of a rank.
  [[nodiscard]] double weight(const std::string& method, int step, Rank rank) const {
    return data_.at("algorithms")
        .at(method)
        .at("iterates")
        .at(std::to_string(step))
        .at("w")
        .at(static_cast<std::size_t>(rank))
        .get<double>();
  }
  /// The model of a rank after `step` iterations of `method`, or another of its vectors.
  [[nodiscard]] std::vector<double> iterate(const std::string& method, int step, Rank rank,
                                            const char* vector = "x") const {
    return data_.at("algorithms")
        .at(method)
        .at("iterates")
        .at(std::to_string(step))
        .at(vector)
        .at(static_cast<std::size_t>(rank))
        .get<std::vector<double>>();
  }

 private:
  [[nodiscard]] const nlohmann::json& problem(const char* key, Rank rank) const {
    return data_.at("problem").at(key).at(static_cast<std::size_t>(rank));
  }

  nlohmann::json data_;
};

/// A method of the reference in this library's words.
struct ReferenceMethod {
  const char* name;
  bool is_all_reduce;
  algorithm::MixingOrder order;
  std::int64_t local_steps;
  bool has_common_start;
  double rate;
  double momentum;
  enum { kNone, kMatrix, kOnePeer, kComplete } topology;

  [[nodiscard]] topology::Schedule schedule(const Quadratic& problem) const {
    if (topology == kMatrix) return problem.mixing_matrix();
    if (topology == kOnePeer) return topology::one_peer_exponential(8);
    return topology::complete(8);
  }
};

inline std::string name_of(const testing::TestParamInfo<ReferenceMethod>& info) {
  return info.param.name;
}

using algorithm::MixingOrder;

inline constexpr ReferenceMethod kReferenceMethods[] = {
    {"allreduce_gd", true, MixingOrder::kAdaptThenCombine, 1, true, 1.0 / 16, 0.0,
     ReferenceMethod::kNone},
    {"allreduce_heavyball", true, MixingOrder::kAdaptThenCombine, 1, true, 1.0 / 32, 0.9,
     ReferenceMethod::kNone},
    {"consensus_mh", false, MixingOrder::kAdaptThenCombine, 1, false, 0.0, 0.0,
     ReferenceMethod::kMatrix},
    {"dpsgd_atc", false, MixingOrder::kAdaptThenCombine, 1, false, 1.0 / 16, 0.0,
     ReferenceMethod::kMatrix},
    {"dpsgd_cta", false, MixingOrder::kCombineThenAdapt, 1, false, 1.0 / 16, 0.0,
     ReferenceMethod::kMatrix},
    {"diffusion_cta", false, MixingOrder::kDiffusion, 1, false, 1.0 / 16, 0.0,
     ReferenceMethod::kMatrix},
    {"dpsgdm_atc", false, MixingOrder::kAdaptThenCombine, 1, false, 1.0 / 64, 0.9,
     ReferenceMethod::kMatrix},
    {"dpsgd_atc_one_peer_exp", false, MixingOrder::kAdaptThenCombine, 1, false, 1.0 / 16, 0.0,
     ReferenceMethod::kOnePeer},
    {"local_sgd", false, MixingOrder::kAdaptThenCombine, 4, true, 1.0 / 16, 0.0,
     ReferenceMethod::kComplete},
    {"local_sgd_gossip", false, MixingOrder::kAdaptThenCombine, 4, false, 1.0 / 16, 0.0,
     ReferenceMethod::kMatrix},
};

inline constexpr int kReferenceSteps[] = {1, 2, 10, 100};

}  // namespace gossip::test
