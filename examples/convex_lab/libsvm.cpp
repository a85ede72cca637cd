// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/libsvm.h"

#include <algorithm>
#include <fstream>
#include <string_view>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>

namespace gossip::examples {
namespace {

/// The words of a file, line by line.
class Lines {
 public:
  Lines(std::istream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

  bool next() {
    if (!std::getline(stream_, text_)) return false;
    ++number_;
    rest_ = std::string_view(text_).substr(0, text_.find('#'));
    return true;
  }

  /// Empty at the end of the line.
  std::string_view word() {
    constexpr std::string_view kBlanks = " \t\r";
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
    const std::string_view word = rest_.substr(0, rest_.find_first_of(kBlanks));
    rest_.remove_prefix(word.size());
    return word;
  }

  [[noreturn]] void fail(std::string_view word, std::string_view expected) const {
    throw Error(fmt::format("{}:{}: '{}' is not {}.", name_, number_, word, expected));
  }

  double number(std::string_view text, std::string_view word, std::string_view expected) const {
    const auto value = parse_number<double>(text);
    if (!value) fail(word, expected);
    return *value;
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int line() const { return number_; }

 private:
  std::istream& stream_;
  std::string name_;
  std::string text_;
  std::string_view rest_;
  int number_ = 0;
};

// Vectors have so many numbers.
constexpr std::uint32_t kMostFeatures = std::uint32_t{1} << 24U;

constexpr std::string_view kFeature =
    "INDEX:VALUE with a whole INDEX between 1 and 16777216 and a number, such as 3:0.25";

Samples::Feature feature(const Lines& lines, std::string_view word) {
  const std::size_t colon = word.find(':');
  if (colon == std::string_view::npos) lines.fail(word, kFeature);
  const auto index = parse_number<std::uint32_t>(word.substr(0, colon));
  if (!index || *index == 0 || *index > kMostFeatures) lines.fail(word, kFeature);
  return {*index - 1, lines.number(word.substr(colon + 1), word, kFeature)};
}

void read_row(Lines& lines, Samples& samples) {
  const std::string_view first = lines.word();
  if (first.empty()) return;
  const double label = lines.number(first, first, "a label: a line is LABEL INDEX:VALUE ...");
  for (std::string_view word = lines.word(); !word.empty(); word = lines.word()) {
    const Samples::Feature next = feature(lines, word);
    const bool is_first = samples.features.size() == samples.begins.back();
    if (!is_first && samples.features.back().index >= next.index) {
      lines.fail(word, "above the index before it: indices must ascend");
    }
    samples.features.push_back(next);
    samples.dimension = std::max<std::size_t>(samples.dimension, next.index + std::size_t{1});
  }
  samples.end_row(label);
}

}  // namespace

Samples read_libsvm(const std::filesystem::path& path) {
  std::ifstream file(path);
  GOSSIP_CHECK(file.is_open(), "The data file '{}' cannot be read: is the path right?",
               path.string());
  return read_libsvm(file, path.string());
}

Samples read_libsvm(std::istream& stream, const std::string& name) {
  Lines lines(stream, name);
  Samples samples{.name = name};
  double low = 0.0;
  double high = 0.0;
  while (lines.next()) {
    const std::size_t before = samples.size();
    read_row(lines, samples);
    if (samples.size() == before) continue;
    const double label = samples.labels.back();
    if (before == 0) low = high = label;
    GOSSIP_CHECK(low == high || label == low || label == high,
                 "{}:{}: the label {} is a third one beside {} and {}: two classes were expected.",
                 name, lines.line(), label, low, high);
    low = std::min(low, label);
    high = std::max(high, label);
  }
  GOSSIP_CHECK(!stream.bad(), "{}:{}: the file cannot be read any further: is it one?", name,
               lines.line());
  GOSSIP_CHECK(samples.size() > 0 && samples.dimension > 0,
               "{}:{}: the file ends, but no sample was found: a line is LABEL INDEX:VALUE ...",
               name, lines.line());
  GOSSIP_CHECK(low < high,
               "{}:{}: the file ends, and all labels are {}: two classes were expected.", name,
               lines.line(), low);
  for (double& label : samples.labels) label = label == low ? -1.0 : 1.0;
  return samples;
}

}  // namespace gossip::examples
