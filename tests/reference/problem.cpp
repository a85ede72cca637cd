// SPDX-License-Identifier: Apache-2.0
#include "reference/problem.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/file.h>
#include <libgossip/base/numbers.h>
#include <libgossip/topology/weights.h>

namespace gossip::test {
namespace {

using Rows = std::vector<std::vector<double>>;

double value_of(const nlohmann::json& json, const std::string& what) {
  if (json.is_number()) return json.get<double>();
  GOSSIP_CHECK(json.is_string(), "{} is {}: it must be a number or a fraction such as \"1/16\".",
               what, json.dump());
  const auto text = json.get<std::string>();
  const auto parse = [&](std::string_view part) {
    const auto value = parse_number<double>(part);
    GOSSIP_CHECK(value, "{} is \"{}\": it must be a number or a fraction such as \"1/16\".", what,
                 text);
    return *value;
  };
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos) return parse(text);
  return parse(std::string_view(text).substr(0, slash)) /
         parse(std::string_view(text).substr(slash + 1));
}

/// Solves a x = b by elimination with pivots.
std::vector<double> solved(Rows a, std::vector<double> b) {
  const std::size_t size = b.size();
  for (std::size_t column = 0; column < size; ++column) {
    std::size_t pivot = column;
    for (std::size_t row = column; row < size; ++row) {
      if (std::abs(a[row][column]) > std::abs(a[pivot][column])) pivot = row;
    }
    std::swap(a[pivot], a[column]);
    std::swap(b[pivot], b[column]);
    for (std::size_t row = 0; row < size; ++row) {
      if (row == column) continue;
      const double factor = a[row][column] / a[column][column];
      for (std::size_t k = column; k < size; ++k) a[row][k] -= factor * a[column][k];
      b[row] -= factor * b[column];
    }
  }
  for (std::size_t k = 0; k < size; ++k) b[k] /= a[k][k];
  return b;
}

nlohmann::json read_json(const std::string& path) {
  const std::string text = read_text(path);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {  // also a number that is too large
    throw Error(fmt::format("The problem '{}' is not JSON: {}", path, error.what()));
  }
}

}  // namespace

ReferenceProblem::ReferenceProblem(const std::string& path)
    : ReferenceProblem(read_json(path), path) {}

ReferenceProblem::ReferenceProblem(nlohmann::json json, std::string name)
    : path_(std::move(name)), json_(std::move(json)) {
  num_workers_ = static_cast<int>(size("/problem/n"));
  dimension_ = size("/problem/d");
  a_ = get<std::vector<Rows>>("/problem/A");
  b_ = get<Rows>("/problem/b");
  GOSSIP_CHECK(std::cmp_equal(a_.size(), num_workers_) && std::cmp_equal(b_.size(), num_workers_),
               "The problem '{}' is for n = {} workers, but A has {} matrices and b {} rows.",
               path_, num_workers_, a_.size(), b_.size());
  const auto is_square = [&](const Rows& rows) { return has_rows(rows, dimension_); };
  GOSSIP_CHECK(std::ranges::all_of(a_, is_square) && has_rows(b_, b_.size()),
               "The problem '{}' has d = {}, but A or b have rows of another length.", path_,
               dimension_);
}

const nlohmann::json& ReferenceProblem::at(const std::string& pointer) const {
  const nlohmann::json::json_pointer place(pointer);
  GOSSIP_CHECK(json_.contains(place), "The problem '{}' lacks '{}'.", path_, pointer);
  return json_.at(place);
}

std::size_t ReferenceProblem::size(const std::string& pointer) const {
  constexpr std::uint64_t kMost = 1U << 24U;
  const nlohmann::json& value = at(pointer);
  // One that a program put in is signed.
  const bool is_positive =
      value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
  GOSSIP_CHECK(
      is_positive && value.get<std::uint64_t>() >= 1 && value.get<std::uint64_t>() <= kMost,
      "'{}' of the problem '{}' is {}: it must be {}.", pointer, path_, value.dump(),
      expected_number<std::uint64_t>(1, kMost));
  return value.get<std::size_t>();
}

bool ReferenceProblem::has_rows(const Rows& rows, std::size_t count) const {
  return rows.size() == count && std::ranges::all_of(rows, [&](const std::vector<double>& row) {
           return row.size() == dimension_;
         });
}

std::vector<std::string> ReferenceProblem::algorithms() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : at("/algorithms").items()) names.push_back(name);
  return names;
}

const nlohmann::json& ReferenceProblem::parameters(const std::string& algorithm) const {
  return at("/algorithms/" + algorithm + "/parameters");
}

double ReferenceProblem::number(const std::string& algorithm, const std::string& parameter) const {
  const nlohmann::json& all = parameters(algorithm);
  GOSSIP_CHECK(all.contains(parameter), "The problem '{}' lacks the parameter '{}' of '{}'.", path_,
               parameter, algorithm);
  const std::string what =
      fmt::format("The parameter '{}' of '{}' in the problem '{}'", parameter, algorithm, path_);
  const double value = value_of(all.at(parameter), what);
  GOSSIP_CHECK(std::isfinite(value), "{} is {}.", what, value);
  return value;
}

std::int64_t ReferenceProblem::count(const std::string& algorithm,
                                     const std::string& parameter) const {
  const double value = number(algorithm, parameter);
  constexpr double kMost = 1e9;
  GOSSIP_CHECK(value == std::floor(value) && value >= 1.0 && value <= kMost,
               "The parameter '{}' of '{}' in the problem '{}' is {}: it must be a whole number "
               "between 1 and {}.",
               parameter, algorithm, path_, value, kMost);
  return static_cast<std::int64_t>(value);
}

topology::Schedule ReferenceProblem::matrices(const std::string& algorithm,
                                              const std::string& parameter) const {
  const std::string place = fmt::format("/algorithms/{}/parameters/{}", algorithm, parameter);
  const std::string name =
      parameters(algorithm).contains(parameter) ? get<std::string>(place) : parameter;
  if (name.starts_with("P_")) {
    std::vector<topology::MixingMatrix> sequence;
    for (const Rows& rows : get<std::vector<Rows>>("/matrices/P_one_peer")) {
      sequence.emplace_back(rows);
    }
    return {name, std::move(sequence)};
  }
  if (name == "Wlazy") return topology::lazy(topology::MixingMatrix(get<Rows>("/matrices/W")));
  return {topology::MixingMatrix(get<Rows>("/matrices/" + name)), name};
}

std::vector<double> ReferenceProblem::start(Rank rank, bool is_common) const {
  const auto workers = static_cast<std::size_t>(num_workers_);
  const std::string place = is_common ? "/problem/x0_common" : "/problem/x0";
  const Rows rows = is_common ? Rows(workers, get<std::vector<double>>(place)) : get<Rows>(place);
  GOSSIP_CHECK(
      has_rows(rows, workers),
      "'{}' of the problem '{}' must be {} rows of d = {} numbers, or, for a common start, "
      "one.",
      place, path_, workers, dimension_);
  return rows[static_cast<std::size_t>(rank)];
}

std::vector<double> ReferenceProblem::gradient(Rank rank, const std::vector<double>& x) const {
  const Rows& a = a_[static_cast<std::size_t>(rank)];
  const std::vector<double>& b = b_[static_cast<std::size_t>(rank)];
  std::vector<double> result(x.size(), 0.0);
  for (std::size_t r = 0; r < x.size(); ++r) {
    for (std::size_t c = 0; c < x.size(); ++c) result[r] += a[r][c] * (x[c] - b[c]);
  }
  return result;
}

double ReferenceProblem::loss(const std::vector<double>& x) const {
  double total = 0.0;
  for (Rank rank = 0; rank < num_workers_; ++rank) {
    const std::vector<double> slope = gradient(rank, x);
    for (std::size_t k = 0; k < x.size(); ++k) {
      total += 0.5 * slope[k] * (x[k] - b_[static_cast<std::size_t>(rank)][k]);
    }
  }
  return total / num_workers_;
}

std::vector<double> ReferenceProblem::minimizer() const {
  Rows a(dimension_, std::vector<double>(dimension_, 0.0));
  std::vector<double> b(dimension_, 0.0);
  for (std::size_t i = 0; i < a_.size(); ++i) {
    for (std::size_t r = 0; r < dimension_; ++r) {
      for (std::size_t c = 0; c < dimension_; ++c) {
        a[r][c] += a_[i][r][c];
        b[r] += a_[i][r][c] * b_[i][c];
      }
    }
  }
  return solved(std::move(a), std::move(b));
}

}  // namespace gossip::test
