// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What the convex lab writes and shows.

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/base/deadline.h>
#include <libgossip/base/file.h>

#include "convex_lab/lab_group.h"

namespace gossip::examples {

/// How good the workers' models are; both are shares of the first mean of |x_i - x*|^2.
struct LabError {
  double error = 1.0;      ///< mean of |x_i - x*|^2
  double consensus = 0.0;  ///< mean of |x_i - mean x|^2
};

/// The lines of one or more runs in a file, progress on standard error every few seconds, and a
/// table of all runs at the end. For one rank.
class LabRecord {
 public:
  /// Without a `path` nothing is written. Throws gossip::Error when the file cannot be written.
  explicit LabRecord(const std::string& path);

  /// A run begins: its time starts. `line` says what it is; "event" is added.
  void start(const std::string& method, nlohmann::ordered_json line);

  /// The run as it is. Writes a line where the error fell by a fifth or the counts grew by a
  /// quarter since the last; remembers what it took to reach each power of ten.
  void note(const LabCounts& counts, const LabError& error);

  /// The run has ended as `status` says: LabEnd names it.
  void end(const std::string& status, const std::string& remark = "");

  /// Prints the runs so far, a row each.
  void print_table() const;

 private:
  struct Moment {
    LabCounts counts;
    LabError error;
    double seconds = 0.0;
  };
  struct Run {
    std::string method;
    std::string status;
    std::string remark;
    Moment last;
  };

  void write(const char* event, nlohmann::ordered_json line);
  void write_moment();
  [[nodiscard]] static nlohmann::ordered_json fields(const Moment& moment);

  std::optional<LineFile> file_;
  std::vector<Run> runs_;
  Clock::time_point begin_;
  Clock::time_point shown_;
  Moment written_;
  bool is_written_ = false;  // the present moment
  double next_power_ = 0.1;
  nlohmann::ordered_json reached_;
};

}  // namespace gossip::examples
