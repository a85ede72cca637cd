// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include <libgossip/train/progress.h>

namespace gossip::train {
namespace {

bool looks_like_terminal(std::FILE* stream) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(stream)) == 1 && std::string_view(term == nullptr ? "dumb" : term) != "dumb";
}

// Columns of the terminal; 80 where nobody knows. A longer line would wrap and could not be
// rewritten in place.
std::size_t columns_of(std::FILE* stream) {
  winsize size{};
  const bool is_known = ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : 80;
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string rate_text(double per_second) {
  if (per_second >= 1e6) return fmt::format("{:.2f}M", per_second / 1e6);
  if (per_second >= 1e4) return fmt::format("{:.1f}k", per_second / 1e3);
  return fmt::format("{:.0f}", per_second);
}

void write(std::FILE* stream, std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

ProgressLine::ProgressLine(ProgressOptions options)
    : options_(std::move(options)),
      is_terminal_(options_.is_terminal.value_or(looks_like_terminal(options_.stream))),
      started_(options_.now()) {}

ProgressLine::~ProgressLine() { finish(); }

void ProgressLine::start_after(std::int64_t step) {
  options_.first_step = step;
  started_ = options_.now();
}

bool ProgressLine::is_due() const {
  if (options_.rank != 0) return false;
  if (!printed_) return true;
  // In milliseconds: the longest interval in the clock's own unit would overflow.
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.now() - *printed_);
  return since >= (is_terminal_ ? options_.terminal_interval : options_.plain_interval);
}

void ProgressLine::update(const ProgressState& state) {
  if (!is_due()) return;
  printed_ = options_.now();
  std::string line = describe(state);
  if (!is_terminal_) {
    write(options_.stream, line + "\n");
    return;
  }
  line.resize(std::min(line.size(), columns_of(options_.stream) - 1));
  write(options_.stream, fmt::format("\r{}\x1b[K", line));
  is_line_open_ = true;
}

void ProgressLine::print(std::string_view line) {
  if (options_.rank != 0) return;
  write(options_.stream, fmt::format("{}{}\n", is_line_open_ ? "\r\x1b[K" : "", line));
  is_line_open_ = false;
}

void ProgressLine::finish() noexcept {
  if (is_line_open_) write(options_.stream, "\n");
  is_line_open_ = false;
}

std::string ProgressLine::describe(const ProgressState& state) const {
  const std::int64_t steps = options_.epochs * options_.steps_per_epoch;
  const auto done = static_cast<double>(state.step - options_.first_step);
  const double elapsed = seconds_between(started_, options_.now());
  std::string text =
      fmt::format("epoch {}/{}  step {}/{}", state.epoch, options_.epochs, state.step, steps);
  if (done > 0 && elapsed > 0) {
    const double images = done * static_cast<double>(options_.images_per_step);
    text += fmt::format("  {} images/s", rate_text(images / elapsed));
  }
  text += fmt::format("  loss {:.4f}", state.loss);
  if (state.consensus_distance)
    text += fmt::format("  consensus {:.2e}", *state.consensus_distance);
  if (done > 0 && steps >= state.step) {
    const auto left = static_cast<double>(steps - state.step);
    text += fmt::format("  left {}", duration_text(elapsed * left / done));
  }
  return text;
}

}  // namespace gossip::train
