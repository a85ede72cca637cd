// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/one_way/async_gossip_worker.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/topology/families.h>

#include "commands.h"
#include "measure.h"

namespace gossip::bench {
namespace {

constexpr std::size_t kElements = 20000;
constexpr std::chrono::milliseconds kStep{2};

double rms_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) squares += (a[k] - b[k]) * (a[k] - b[k]);
  return std::sqrt(squares / static_cast<double>(a.size()));
}

std::vector<double> mean_of_ranks(transport::Group& group, std::vector<double> own) {
  transport::average_(group, std::span<double>(own));
  return own;
}

/// Values between -1 and 1, others on each rank and in each repetition.
std::vector<double> start_of(const transport::Group& group, int repetition) {
  auto random = SplitMix64::at(static_cast<std::uint64_t>(repetition),
                               static_cast<std::uint64_t>(group.rank()));
  std::vector<double> values(kElements);
  for (double& value : values) value = 2.0 * random.unit() - 1.0;
  return values;
}

/// Steps without gradients until the job has made enough; rank 0 is `slowness` times slower.
void walk(transport::Group& group, engine::Worker& worker, int steps, int slowness) {
  group.barrier();
  while (worker.job_steps() < std::int64_t{steps} * group.size()) {
    worker.prepare();
    std::this_thread::sleep_for(group.rank() == 0 ? slowness * kStep : kStep);
    worker.finish();
  }
  worker.leave();
}

/// Where a method takes the model, from these values.
using Method = std::function<std::vector<double>(const std::vector<double>& start, int slowness)>;

std::vector<double> with_async_gossip(transport::Group& group, int steps, std::vector<double> model,
                                      int slowness) {
  engine::PlainPort port({std::span<double>(model)});
  engine::AsyncGossipWorker worker(group, topology::ring(group.size()), port);
  walk(group, worker, steps, slowness);
  worker.come_back();
  return model;
}

std::vector<double> with_pair_events(transport::Group& group, int steps,
                                     const std::vector<double>& start, int slowness) {
  engine::PlainPort port({VectorView(Dtype::kFloat64, nullptr, start.size())});
  engine::PairWorker worker(group, std::make_shared<algorithm::ADPSGD>(),
                            topology::ring(group.size()), port);
  const std::span<double> model = worker.model_memory().front().as<double>();
  std::ranges::copy(start, model.begin());
  walk(group, worker, steps, slowness);
  std::vector<double> result(model.begin(), model.end());
  worker.come_back();
  return result;
}

}  // namespace

void drift_command(Session& session, int steps, int repetitions) {
  transport::Group& group = session;
  const std::vector<std::pair<std::string, Method>> methods{
      {"async-gossip",
       [&](const auto& start, int slowness) {
         return with_async_gossip(group, steps, start, slowness);
       }},
      {"ad-psgd", [&](const auto& start, int slowness) {
         return with_pair_events(group, steps, start, slowness);
       }}};
  for (const auto& [name, run] : methods) {
    for (const int slowness : {1, 4}) {
      std::vector<double> drifts;
      for (int repetition = 0; repetition < repetitions; ++repetition) {
        const std::vector<double> start = start_of(group, repetition);
        const std::vector<double> first_mean = mean_of_ranks(group, start);
        const double first_spread = transport::mean_of(group, rms_distance(start, first_mean));
        const std::vector<double> end = run(start, slowness);
        const std::vector<double> last_mean = mean_of_ranks(group, end);
        drifts.push_back(rms_distance(last_mean, first_mean) / first_spread);
      }
      const nlohmann::json params{{"ranks", group.size()},
                                  {"method", name},
                                  {"rank_0_slower", slowness},
                                  {"steps", steps},
                                  {"transport", session.world().transport()},
                                  {"repetitions", repetitions}};
      const std::string text = fmt::format("{}{}", name, slowness > 1 ? ", rank 0 slow" : "");
      if (group.rank() == 0) fmt::print(stderr, "{}:\n", text);
      report(group, "drift", "mean_drift", median_of(drifts), "ratio", params);
    }
  }
}

}  // namespace gossip::bench
