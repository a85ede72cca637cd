// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Quadratic problems in a JSON file.

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/base/error.h>
#include <libgossip/base/types.h>
#include <libgossip/topology/schedule.h>

namespace gossip::test {

/// A file like tests/reference/quadratic_n8.json: worker i has the loss \f$ \frac12 (x - b_i)^T A_i
/// (x - b_i) \f$; matrices, start points, and the parameters of each algorithm. Immutable.
///
/// Errors: gossip::Error that names the file and what it lacks or has wrong.
class ReferenceProblem {
 public:
  explicit ReferenceProblem(const std::string& path);

  /// What such a file holds; `name` stands for the path in errors.
  ReferenceProblem(nlohmann::json json, std::string name);

  [[nodiscard]] int num_workers() const noexcept { return num_workers_; }
  [[nodiscard]] std::size_t dimension() const noexcept { return dimension_; }

  /// Names of the algorithms that the file has parameters for, in its order.
  [[nodiscard]] std::vector<std::string> algorithms() const;

  /// A parameter that may be a number or text such as "9/10".
  [[nodiscard]] double number(const std::string& algorithm, const std::string& parameter) const;
  [[nodiscard]] std::int64_t count(const std::string& algorithm,
                                   const std::string& parameter) const;

  /// The matrices that a parameter names: "W", "Wlazy", "R", "C" or "P_(k mod m)".
  [[nodiscard]] topology::Schedule matrices(const std::string& algorithm,
                                            const std::string& parameter) const;

  [[nodiscard]] std::vector<double> start(Rank rank, bool is_common) const;
  [[nodiscard]] std::vector<double> gradient(Rank rank, const std::vector<double>& x) const;
  /// F(x), the mean of all losses.
  [[nodiscard]] double loss(const std::vector<double>& x) const;
  [[nodiscard]] std::vector<double> minimizer() const;

  [[nodiscard]] const nlohmann::json& json() const noexcept { return json_; }

  /// What stands at a place such as "/problem/A".
  template <class T>
  [[nodiscard]] T get(const std::string& pointer) const {
    try {
      return at(pointer).get<T>();
    } catch (const nlohmann::json::exception& error) {
      throw Error(fmt::format("'{}' of the problem '{}' is not what it must be: {}", pointer, path_,
                              error.what()));
    }
  }

 private:
  using Rows = std::vector<std::vector<double>>;

  [[nodiscard]] const nlohmann::json& parameters(const std::string& algorithm) const;
  [[nodiscard]] const nlohmann::json& at(const std::string& pointer) const;
  [[nodiscard]] std::size_t size(const std::string& pointer) const;        // a count in the file
  [[nodiscard]] bool has_rows(const Rows& rows, std::size_t count) const;  // of d numbers

  std::string path_;
  nlohmann::json json_;
  int num_workers_ = 0;
  std::size_t dimension_ = 0;
  std::vector<Rows> a_;  // [worker][row][column]
  Rows b_;
};

}  // namespace gossip::test
