// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file How the benchmarks measure and report: things side by side in one run, medians, one JSON
/// line a metric.

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/transport/group.h>

namespace gossip::bench {

/// One of several things that are measured in turn.
struct Contender {
  std::string name;
  std::function<void()> run;
};

/// Times of one contender, in seconds: of each repetition the slowest rank's.
struct Times {
  std::string name;
  std::vector<double> seconds;

  [[nodiscard]] double median() const;
};

/// Runs all contenders in turn (A B A B ...), `repetitions` times after two rounds that do not
/// count; all ranks start each at the same time. When that has taken `most_seconds`, a round that
/// counts is the last one. Collective.
[[nodiscard]] std::vector<Times> measure(
    transport::Group& group, const std::vector<Contender>& contenders, int repetitions,
    double most_seconds = std::numeric_limits<double>::infinity());

[[nodiscard]] double median_of(std::vector<double> values);

/// The median over repetitions of the ratio of two contenders' times in the same repetition.
[[nodiscard]] double median_ratio(const Times& numerator, const Times& denominator);

/// Prints the metric on rank 0: a JSON line on standard output, a line for people on standard
/// error.
void report(const transport::Group& group, const std::string& benchmark, const std::string& metric,
            double value, const std::string& unit, const nlohmann::json& params);

/// Prints the medians for people on rank 0, on standard error.
void print_table(const transport::Group& group, const std::vector<Times>& all);

}  // namespace gossip::bench
