// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/record.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace gossip::examples {
namespace {

constexpr double kStep = 1.25;
constexpr double kLeastPower = std::numeric_limits<double>::min();
constexpr std::chrono::seconds kProgress{5};

/// Whole numbers without a fraction.
nlohmann::ordered_json number(double value) {
  if (value == std::floor(value) && value < 1e15) return static_cast<std::int64_t>(value);
  return value;
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

LabRecord::LabRecord(const std::string& path) {
  if (!path.empty()) file_.emplace(path);
}

void LabRecord::start(const std::string& method, nlohmann::ordered_json line) {
  runs_.push_back({method, {}, {}, {}});
  nlohmann::ordered_json first{{"method", method}};
  first.update(line);
  write("start", std::move(first));
  begin_ = Clock::now();
  shown_ = begin_;
  written_ = {.counts = {}, .error = {.error = INFINITY}};
  next_power_ = 0.1;
  reached_ = nlohmann::ordered_json::array();
}

void LabRecord::note(const LabCounts& counts, const LabError& error) {
  Moment& now = runs_.back().last;
  now = {counts, error, seconds_since(begin_)};
  is_written_ = false;
  for (; error.error <= next_power_ && next_power_ >= kLeastPower; next_power_ /= 10.0) {
    nlohmann::ordered_json entry{{"accuracy", std::pow(10.0, std::round(std::log10(next_power_)))}};
    entry.update(fields(now));
    reached_.push_back(std::move(entry));
  }
  const bool has_fallen = error.error <= written_.error.error / kStep;
  const bool has_grown = counts.gradients >= kStep * written_.counts.gradients &&
                         counts.communications >= kStep * written_.counts.communications;
  if (has_fallen || has_grown) write_moment();
  if (Clock::now() - shown_ < kProgress) return;
  shown_ = Clock::now();
  fmt::print(stderr, "{}: {:.0f} s, {:.0f} gradients, {:.0f} communications, error {:.1e}\n",
             runs_.back().method, now.seconds, counts.gradients, counts.communications,
             error.error);
}

void LabRecord::end(const std::string& status, const std::string& remark) {
  if (!is_written_) write_moment();
  Run& run = runs_.back();
  run.status = status;
  run.remark = remark;
  nlohmann::ordered_json line{{"method", run.method}, {"status", status}};
  if (!remark.empty()) line["remark"] = remark;
  line.update(fields(run.last));
  line["reached"] = std::move(reached_);
  write("end", std::move(line));
}

void LabRecord::print_table() const {
  std::size_t width = 6;
  for (const Run& run : runs_) width = std::max(width, run.method.size());
  fmt::print("{:{}}  {:>9} {:>12} {:>15} {:>11} {:>9}  status\n", "method", width, "error",
             "gradients", "communications", "model time", "seconds");
  for (const Run& run : runs_) {
    const LabCounts& counts = run.last.counts;
    fmt::print("{:{}}  {:9.1e} {:12.0f} {:15.0f} {:11.1f} {:9.2f}  {}\n", run.method, width,
               run.last.error.error, counts.gradients, counts.communications, counts.model_time,
               run.last.seconds, run.status);
  }
  for (const Run& run : runs_) {
    if (!run.remark.empty()) fmt::print("{}: {}\n", run.method, run.remark);
  }
}

void LabRecord::write(const char* event, nlohmann::ordered_json line) {
  if (!file_) return;
  nlohmann::ordered_json whole{{"event", event}};
  whole.update(line);
  // The remark may name a file whose name is not UTF-8.
  file_->append(whole.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
                "\n");
}

void LabRecord::write_moment() {
  written_ = runs_.back().last;
  is_written_ = true;
  write("record", fields(written_));
}

nlohmann::ordered_json LabRecord::fields(const Moment& moment) {
  return {{"model_time", moment.counts.model_time},
          {"gradients", number(moment.counts.gradients)},
          {"communications", number(moment.counts.communications)},
          {"bytes", number(moment.counts.bytes)},
          {"seconds", moment.seconds},
          {"error", moment.error.error},
          {"consensus", moment.error.consensus}};
}

}  // namespace gossip::examples
