// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <limits>

#include <libgossip/transport/progress_report.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kMostNumberBytes = 10;  // 64 bits, seven a byte
constexpr unsigned kBits = 7;
constexpr unsigned kMore = 1U << kBits;

/// What follows the smallest number of a column.
enum Column : std::uint8_t {
  kSame,         // nothing: all are that
  kDifferences,  // of each number from it
};

/// Numbers of variable length, small ones short.
class Writer {
 public:
  explicit Writer(std::span<std::byte> out) : out_(out) {}

  void put(std::uint64_t number) {
    for (; number >= kMore; number >>= kBits) put_byte(static_cast<unsigned>(number) | kMore);
    put_byte(static_cast<unsigned>(number));
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  void put_byte(unsigned byte) { out_[bytes_++] = static_cast<std::byte>(byte & 0xFFU); }

  std::span<std::byte> out_;
  std::size_t bytes_ = 0;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}

  /// 0 once something is not right.
  std::int64_t take() {
    std::uint64_t number = 0;
    for (std::size_t byte = 0; byte < kMostNumberBytes && !in_.empty(); ++byte) {
      const auto next = std::to_integer<std::uint64_t>(in_.front());
      in_ = in_.subspan(1);
      number |= (next & (kMore - 1)) << (kBits * byte);
      if (next < kMore) return checked(number);
    }
    is_right_ = false;
    return 0;
  }

  [[nodiscard]] bool is_right() const noexcept { return is_right_; }
  [[nodiscard]] bool is_at_end() const noexcept { return in_.empty(); }

 private:
  std::int64_t checked(std::uint64_t number) {
    if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return static_cast<std::int64_t>(number);
    }
    is_right_ = false;
    return 0;
  }

  std::span<const std::byte> in_;
  bool is_right_ = true;
};

void put_column(Writer& writer, const std::vector<std::int64_t>& column) {
  const auto [least, most] = std::ranges::minmax(column);
  writer.put(static_cast<std::uint64_t>(least));
  writer.put(least == most ? kSame : kDifferences);
  if (least == most) return;
  for (const std::int64_t number : column) writer.put(static_cast<std::uint64_t>(number - least));
}

bool take_column(Reader& reader, std::vector<std::int64_t>& column) {
  const std::int64_t least = reader.take();
  const std::int64_t kind = reader.take();
  for (std::int64_t& number : column) {
    const std::int64_t difference = kind == kDifferences ? reader.take() : 0;
    if (difference > std::numeric_limits<std::int64_t>::max() - least) return false;
    number = least + difference;
  }
  return reader.is_right() && (kind == kSame || kind == kDifferences);
}

}  // namespace

Progress::Progress(int ranks)
    : steps(static_cast<std::size_t>(ranks), 0), turns(steps), turns_alone(steps) {}

std::chrono::milliseconds report_interval(int ranks) {
  constexpr int kShortest = 20;
  constexpr int kLongest = 100;
  constexpr int kFrom = 64;  // ranks
  return std::chrono::milliseconds(std::clamp(kLongest * ranks / kFrom, kShortest, kLongest));
}

std::size_t most_report_bytes(int ranks, std::size_t peers) {
  const std::size_t numbers = 3 * (static_cast<std::size_t>(ranks) + 2) + 3 * peers + 1;
  return numbers * kMostNumberBytes;
}

std::size_t write_report(Progress& progress, std::span<const ReportedEdge> edges,
                         std::span<std::byte> out) {
  Writer writer(out);
  for (const std::vector<std::int64_t>* column : progress.columns()) put_column(writer, *column);
  const auto says_something = [](const ReportedEdge& edge) {
    return edge.taken > 0 || edge.is_given_up;
  };
  writer.put(static_cast<std::uint64_t>(std::ranges::count_if(edges, says_something)));
  for (const ReportedEdge& edge : edges) {
    if (!says_something(edge)) continue;
    writer.put(static_cast<std::uint64_t>(edge.neighbor));
    writer.put(static_cast<std::uint64_t>(edge.taken));
    writer.put(edge.is_given_up ? 1 : 0);
  }
  return writer.bytes();
}

std::optional<ToReceiver> read_report(std::span<const std::byte> in, Rank self,
                                      Progress& progress) {
  Reader reader(in);
  for (std::vector<std::int64_t>* column : progress.columns()) {
    if (!take_column(reader, *column)) return std::nullopt;
  }
  ToReceiver result;
  for (std::int64_t left = reader.take(); left > 0 && reader.is_right(); --left) {
    const std::int64_t neighbor = reader.take();
    const std::int64_t taken = reader.take();
    const bool is_given_up = reader.take() != 0;
    if (neighbor == self) result = {.taken = taken, .is_given_up = is_given_up};
  }
  if (!reader.is_right() || !reader.is_at_end()) return std::nullopt;
  return result;
}

}  // namespace gossip::transport
