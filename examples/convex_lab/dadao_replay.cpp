// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/dadao_replay.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/base/error.h>
#include <libgossip/base/file.h>
#include <libgossip/base/suggest.h>
#include <libgossip/sim/pair_simulation.h>
#include <libgossip/sim/poisson_clock.h>

#include "convex_lab/pairs.h"
#include "convex_lab/quadratic_problem.h"

namespace gossip::examples {
namespace {

using nlohmann::ordered_json;
using Rows = std::vector<std::vector<double>>;

constexpr std::array kVectors{"x", "x_tilde", "y", "y_tilde", "z", "z_tilde"};

/// The values of a problem file; every error names it.
class ReplayFile {
 public:
  explicit ReplayFile(const std::string& path) : path_(path) {
    const std::string text = read_text(path);
    try {
      json_ = nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception& error) {  // also a number that is too large
      throw Error(fmt::format("The problem '{}' is not JSON: {}", path, error.what()));
    }
    GOSSIP_CHECK(json_.is_object(), "The problem '{}' is not a JSON object.", path);
    for (const char* key : {"n", "d", "edges", "mu", "L", "h", "c", "x0", "start"}) {
      GOSSIP_CHECK(json_.contains(key), "The problem '{}' lacks '{}'.", path, key);
    }
  }

  [[nodiscard]] int count(const char* key) const {
    const nlohmann::json& value = json_.at(key);
    constexpr std::int64_t kMost = 1 << 24;
    GOSSIP_CHECK(value.is_number_integer() && value.get<std::int64_t>() >= 1 &&
                     value.get<std::int64_t>() <= kMost,
                 "'{}' of the problem '{}' is {}: it must be a whole number of at least 1.", key,
                 path_, value.dump());
    return value.get<int>();
  }

  [[nodiscard]] double number(const char* key) const {
    const nlohmann::json& value = json_.at(key);
    GOSSIP_CHECK(value.is_number(), "'{}' of the problem '{}' is {}: it must be a number.", key,
                 path_, value.dump());
    return value.get<double>();
  }

  /// [rows][columns]
  [[nodiscard]] Rows rows(const char* key, int rows, int columns) const {
    const nlohmann::json& value = json_.at(key);
    GOSSIP_CHECK(value.is_array() && std::cmp_equal(value.size(), rows),
                 "'{}' of the problem '{}' must be {} rows of {} numbers.", key, path_, rows,
                 columns);
    for (std::size_t i = 0; i < value.size(); ++i) {
      const bool is_row =
          value[i].is_array() && std::cmp_equal(value[i].size(), columns) &&
          std::ranges::all_of(value[i], [](const auto& x) { return x.is_number(); });
      GOSSIP_CHECK(is_row, "Row {} of '{}' of the problem '{}' must be {} numbers.", i, key, path_,
                   columns);
    }
    return value.get<Rows>();
  }

  /// In the order of the file, all of intensity 1 / (number of edges).
  [[nodiscard]] std::vector<topology::EdgeIntensity> edges(int workers) const {
    const nlohmann::json& value = json_.at("edges");
    GOSSIP_CHECK(value.is_array() && !value.empty(),
                 "'edges' of the problem '{}' must be a list of pairs of workers.", path_);
    std::vector<topology::EdgeIntensity> edges;
    for (std::size_t k = 0; k < value.size(); ++k) {
      const nlohmann::json& pair = value[k];
      const auto is_worker = [&](const nlohmann::json& end) {
        return end.is_number_integer() && end.get<std::int64_t>() >= 0 &&
               end.get<std::int64_t>() < workers;
      };
      GOSSIP_CHECK(pair.is_array() && pair.size() == 2 && is_worker(pair[0]) &&
                       is_worker(pair[1]) && pair[0] != pair[1],
                   "Edge {} of the problem '{}' is {}: it must be two of the workers 0..{}.", k,
                   path_, pair.dump(), workers - 1);
      edges.push_back(
          {pair[0].get<Rank>(), pair[1].get<Rank>(), 1.0 / static_cast<double>(value.size())});
    }
    return edges;
  }

  [[nodiscard]] std::string start() const {
    const std::vector<std::string> known{"zero", "x0", "x0_in_both"};
    const nlohmann::json& value = json_.at("start");
    GOSSIP_CHECK(value.is_string(), "'start' of the problem '{}' is {}: it must be a text.", path_,
                 value.dump());
    if (std::ranges::find(known, value.get<std::string>()) == known.end()) {
      throw Error(fmt::format("'start' of the problem '{}': {}", path_,
                              unknown_name("start", value.get<std::string>(), known)));
    }
    return value.get<std::string>();
  }

 private:
  std::string path_;
  nlohmann::json json_;
};

void check_events(const std::vector<std::int64_t>& events) {
  std::int64_t last = -1;
  for (const std::int64_t event : events) {
    GOSSIP_CHECK(event > last, "--events has {} after {}: they must ascend from 0 on.", event,
                 last);
    last = event;
  }
  GOSSIP_CHECK(!events.empty(), "--events is empty: after which events?");
}

void set_start(sim::PairSimulation& group, const std::string& start, const Rows& x0) {
  if (start == "zero") return;
  for (Rank worker = 0; worker < group.size(); ++worker) {
    const std::vector<double>& own = x0[static_cast<std::size_t>(worker)];
    std::ranges::copy(own, group.vector(worker, 0).begin());
    if (start == "x0_in_both") std::ranges::copy(own, group.vector(worker, 1).begin());
  }
}

ordered_json snapshot(const sim::PairSimulation& group, std::int64_t gradients,
                      std::int64_t communications) {
  ordered_json result{{"events", gradients + communications},
                      {"t", group.time()},
                      {"gradients", gradients},
                      {"communications", communications}};
  for (int index = 0; index < group.num_vectors(); ++index) {
    Rows rows;
    for (Rank worker = 0; worker < group.size(); ++worker) {
      const auto vector = group.vector(worker, index);
      rows.emplace_back(vector.begin(), vector.end());
    }
    result[kVectors[static_cast<std::size_t>(index)]] = rows;
  }
  return result;
}

}  // namespace

ordered_json replay_dadao(const ReplayOptions& options) {
  check_events(options.events);
  const ReplayFile file(options.problem);
  const int n = file.count("n");
  const int d = file.count("d");
  auto edges = file.edges(n);
  const QuadraticProblem problem(file.rows("h", n, d), file.rows("c", n, d), file.number("mu"),
                                 file.number("L"));
  const topology::Chi chi = topology::chi(n, edges);
  const algorithm::DADAOConstants constants = algorithm::dadao_constants(
      problem.mu(), problem.lipschitz(), chi, options.safety * algorithm::dadao_least_rate(chi));
  const algorithm::DADAO method(constants);
  for (topology::EdgeIntensity& edge : edges) edge.intensity *= constants.rate;
  sim::PoissonClock clock(n, edges, 1.0, options.seed);
  sim::PairSimulation group(method, n, problem.dimension());
  set_start(group, file.start(), file.rows("x0", n, d));

  ordered_json result{
      {"seed", options.seed}, {"safety", options.safety}, {"constants", describe(constants)}};
  std::int64_t gradients = 0;
  std::int64_t done = 0;
  for (const std::int64_t until : options.events) {
    for (; done < until; ++done) {
      const sim::Event event = clock.next();
      group.play(event, [&](Rank worker, std::span<const double> x, std::span<double> gradient) {
        problem.gradient(worker, x, gradient);
      });
      gradients += event.is_gradient() ? 1 : 0;
    }
    result[std::to_string(until)] = snapshot(group, gradients, done - gradients);
  }
  return result;
}

}  // namespace gossip::examples
