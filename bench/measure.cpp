// SPDX-License-Identifier: Apache-2.0
#include "measure.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include <libgossip/base/deadline.h>

namespace gossip::bench {
double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double Times::median() const { return median_of(seconds); }

std::vector<Times> measure(transport::Group& group, const std::vector<Contender>& contenders,
                           int repetitions, double most_seconds) {
  constexpr int kWarmUp = 2;
  double so_far = 0.0;  // the same on all ranks
  std::vector<Times> all;
  for (const Contender& contender : contenders) all.push_back({contender.name, {}});
  for (int repetition = -kWarmUp; repetition < repetitions; ++repetition) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      group.barrier();
      const auto start = Clock::now();
      contenders[i].run();
      const double seconds =
          group.all_reduce(seconds_between(start, Clock::now()), transport::Reduction::kMax);
      so_far += seconds;
      if (repetition >= 0) all[i].seconds.push_back(seconds);
    }
    if (so_far > most_seconds && repetition >= 0) break;
  }
  return all;
}

double median_ratio(const Times& numerator, const Times& denominator) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < numerator.seconds.size(); ++i) {
    ratios.push_back(numerator.seconds[i] / denominator.seconds[i]);
  }
  return median_of(std::move(ratios));
}

void report(const transport::Group& group, const std::string& benchmark, const std::string& metric,
            double value, const std::string& unit, const nlohmann::json& params) {
  if (group.rank() != 0) return;
  const nlohmann::ordered_json line{{"benchmark", benchmark},
                                    {"metric", metric},
                                    {"value", value},
                                    {"unit", unit},
                                    {"params", params}};
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
  fmt::print(stderr, "  {:<42} {:>10.3f} {}\n", metric, value, unit);
}

void print_table(const transport::Group& group, const std::vector<Times>& all) {
  if (group.rank() != 0) return;
  for (const Times& times : all) {
    const auto [least, most] = std::minmax_element(times.seconds.begin(), times.seconds.end());
    fmt::print(stderr, "  {:<42} {:>10.4f} ms  ({:.4f} to {:.4f}, n = {})\n", times.name,
               1e3 * times.median(), 1e3 * *least, 1e3 * *most, times.seconds.size());
  }
}

}  // namespace gossip::bench
