// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <numeric>
#include <utility>
#include <variant>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/transport/agreement.h>
#include <libgossip/transport/local/cluster.h>
#include <libgossip/transport/meeting.h>
#include <libgossip/transport/memory_channel.h>

namespace gossip::transport::local {

struct Cluster::Shared {
  Shared(std::vector<Rank> ranks, std::chrono::milliseconds wait, std::shared_ptr<Faults> on_edges)
      : size(static_cast<int>(ranks.size())),
        names(std::move(ranks)),
        timeout(wait),
        entries(names.size()),
        faults(std::move(on_edges)) {}

  /// Blocks until all ranks are here; after ten seconds it says how many it waits for.
  void barrier(Rank rank) {
    std::unique_lock lock(mutex);
    if (is_broken) fail();
    const std::uint64_t own_generation = generation;
    if (++arrived == size) {
      arrived = 0;
      ++generation;
      changed.notify_all();
      return;
    }
    const auto is_over = [&] { return is_broken || generation != own_generation; };
    const Deadline deadline(timeout);
    Notice notice(rank, deadline);
    const auto whom = [&] {
      return fmt::format("{} of {} ranks to come to a collective call", size - arrived, size);
    };
    while (!changed.wait_for(lock, RunningTime::kLongestGap / 2, is_over)) {
      const bool has_passed = deadline.has_passed();
      notice.look(whom);
      if (has_passed) break;
    }
    if (generation == own_generation) fail();
  }

  /// Blocks until all ranks are here, and at the same place.
  void meet(Rank rank, std::string_view what) {
    const std::vector<Place> places = all_gather(rank, Place::here(what));
    for (Rank other = 1; other < size; ++other) {
      const std::string differs =
          difference(0, places.front(), other, places[static_cast<std::size_t>(other)]);
      if (!differs.empty()) throw JointError(differs);
    }
  }

  /// Ends the cluster: who comes later must not meet a rank that has given up.
  [[noreturn]] void fail() {
    is_broken = true;
    changed.notify_all();
    throw TimeoutError(-1, fmt::format("{} of {} ranks came to a collective call within {} ms.",
                                       arrived, size, timeout.count()));
  }

  /// The values of all ranks.
  template <class T>
  std::vector<T> all_gather(Rank rank, const T& value) {
    entries[static_cast<std::size_t>(rank)] = &value;
    barrier(rank);
    std::vector<T> values;
    for (const void* entry : entries) values.push_back(*static_cast<const T*>(entry));
    barrier(rank);
    return values;
  }

  int size;
  std::vector<Rank> names;  // of its ranks, in the cluster
  std::chrono::milliseconds timeout;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  bool is_broken = false;
  std::uint64_t generation = 0;
  std::vector<const void*> entries;
  std::shared_ptr<Faults> faults;
};

namespace {

struct AlignedDelete {
  void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
};

class LocalRegion final : public Region {
 public:
  using Part = std::pair<std::shared_ptr<std::byte>, std::size_t>;
  explicit LocalRegion(std::vector<Part> parts) : parts_(std::move(parts)) {}

  static Part allocate(std::size_t bytes) {
    return {std::shared_ptr<std::byte>(new (std::align_val_t{64}) std::byte[bytes + 1],
                                       AlignedDelete{}),
            bytes};
  }

  [[nodiscard]] std::span<std::byte> of(Rank rank) const override {
    const Part& part = parts_[static_cast<std::size_t>(rank)];
    return {part.first.get(), part.second};
  }

 private:
  std::vector<Part> parts_;  // shared by all ranks, so that none frees what another still reads
};

}  // namespace

namespace {

/// Where the ranks of a LocalLargest meet. A start may begin on one rank while others still have to
/// read the one before, hence two places.
struct LargestBoard {
  struct Place {
    int arrived = 0;
    std::vector<double> numbers;
  };
  std::mutex mutex;
  std::array<Place, 2> places;
};

class LocalLargest final : public Largest {
 public:
  LocalLargest(std::shared_ptr<LargestBoard> board, int size, std::size_t count)
      : board_(std::move(board)), size_(size), numbers_(count) {}

  void start(std::span<const double> numbers) override {
    ++starts_;
    is_over_ = false;
    const std::lock_guard lock(board_->mutex);
    LargestBoard::Place& place = here();
    if (place.arrived % size_ == 0) place = {0, {numbers.begin(), numbers.end()}};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      place.numbers[i] = std::max(place.numbers[i], numbers[i]);
    }
    ++place.arrived;
  }

  [[nodiscard]] bool test() override {
    if (is_over_) return true;
    const std::lock_guard lock(board_->mutex);
    const LargestBoard::Place& place = here();
    if (place.arrived < size_) return false;
    numbers_ = place.numbers;
    return is_over_ = true;
  }

  [[nodiscard]] std::span<const double> numbers() const override { return numbers_; }

 private:
  [[nodiscard]] LargestBoard::Place& here() { return board_->places[starts_ % 2]; }

  std::shared_ptr<LargestBoard> board_;
  int size_;
  std::size_t starts_ = 0;
  std::vector<double> numbers_;
  bool is_over_ = true;
};

}  // namespace

class LocalGroup final : public Group {
 public:
  LocalGroup(std::shared_ptr<Cluster::Shared> shared, Rank rank,
             std::shared_ptr<Background> background)
      : shared_(std::move(shared)), rank_(rank), background_(std::move(background)) {}

  [[nodiscard]] Rank rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return shared_->size; }
  [[nodiscard]] std::string_view transport() const override { return "local"; }

  [[nodiscard]] bool shares_memory_with(Rank /*other*/) const override { return true; }
  [[nodiscard]] Background& background() override { return *background_; }

  [[nodiscard]] std::unique_ptr<Channel> make_channel(const ChannelOptions& options) override {
    meet("the making of a channel");
    auto region = make_region(MemoryChannel::region_bytes(options, size()));
    std::vector<Rank> all(static_cast<std::size_t>(size()));
    std::iota(all.begin(), all.end(), 0);
    auto channel =
        std::make_unique<MemoryChannel>(std::move(region), rank_, size(), std::move(all), options);
    shared_->barrier(rank_);
    return with_faults(std::move(channel), shared_->faults, rank_, shared_->names);
  }

  [[nodiscard]] std::unique_ptr<Region> make_region(std::size_t bytes) override {
    meet("the making of shared memory");
    return std::make_unique<LocalRegion>(shared_->all_gather(rank_, LocalRegion::allocate(bytes)));
  }

  [[nodiscard]] std::unique_ptr<Mean> make_mean(const VectorView& vector, const Patience& patience,
                                                std::shared_ptr<const void> memory) override;

  [[nodiscard]] std::unique_ptr<Largest> make_largest(std::size_t count) override {
    meet(fmt::format("the making of the largest of {} numbers", count));
    auto boards = shared_->all_gather(rank_, std::make_shared<LargestBoard>());
    return std::make_unique<LocalLargest>(boards.front(), size(), count);
  }

  [[nodiscard]] std::unique_ptr<Group> split(int color, int key) override;

  void meet(std::string_view what) override { shared_->meet(rank_, what); }
  void barrier() override { meet("a barrier"); }

  void broadcast(std::span<std::byte> bytes, Rank root) override {
    meet(fmt::format("a broadcast of {} bytes of rank {}", bytes.size(), root));
    const auto all = shared_->all_gather(rank_, bytes);
    const std::span<std::byte> source = all[static_cast<std::size_t>(root)];
    if (rank_ != root && !bytes.empty()) std::memcpy(bytes.data(), source.data(), bytes.size());
    shared_->barrier(rank_);
  }

  [[nodiscard]] std::vector<std::string> all_gather(std::string_view text) override {
    meet("a gather");
    return shared_->all_gather(rank_, std::string(text));
  }

  [[nodiscard]] std::vector<VectorView> gather_views(const VectorView& vector) {
    return shared_->all_gather(rank_, vector);
  }

  /// Without a look at where the ranks are: on the step path.
  void await_all() { shared_->barrier(rank_); }

 protected:
  void gather(std::span<const std::byte> own, std::span<std::byte> all) override {
    meet(fmt::format("a gather of {} bytes", own.size()));
    auto to = all.begin();
    for (const std::span<const std::byte> part : shared_->all_gather(rank_, own)) {
      to = std::ranges::copy(part, to).out;
    }
    shared_->barrier(rank_);  // nobody's bytes go while others read them
  }

 private:
  std::shared_ptr<Cluster::Shared> shared_;
  Rank rank_;
  std::shared_ptr<Background> background_;
};

namespace {

/// Sums in rank order, so that all ranks get the same bits. Does its work in await().
class LocalMean final : public Mean {
 public:
  LocalMean(LocalGroup& group, const VectorView& vector) : group_(group), vector_(vector) {}

  void start() override {}
  void progress() override {}

  void await() override {
    const std::vector<VectorView> all = group_.gather_views(vector_);
    visit(vector_, [&]<class T>(std::span<T> values) {
      std::vector<T> sum(values.size(), T{0});
      for (const VectorView& other : all) {
        const std::span<T> terms = other.as<T>();
        for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += terms[k];
      }
      const T count = static_cast<T>(all.size());
      for (T& value : sum) value /= count;
      sum_ = std::move(sum);
    });
    group_.await_all();
  }

  void take() override {
    visit(vector_, [&]<class T>(std::span<T> values) {
      std::ranges::copy(std::get<std::vector<T>>(sum_), values.begin());
    });
  }

 private:
  LocalGroup& group_;
  VectorView vector_;
  std::variant<std::vector<float>, std::vector<double>> sum_;
};

}  // namespace

std::unique_ptr<Mean> LocalGroup::make_mean(const VectorView& vector, const Patience& /*patience*/,
                                            std::shared_ptr<const void> /*memory*/) {
  return std::make_unique<LocalMean>(*this, vector);
}

/// The first rank of each part makes what the part shares.
std::unique_ptr<Group> LocalGroup::split(int color, int key) {
  meet("a split");
  check_together(*this, [&] {
    GOSSIP_CHECK(color >= 0, "A group cannot be split by the color {}: it must be at least 0.",
                 color);
  });
  struct Place {
    int color;
    int key;
  };
  const std::vector<Place> places = Group::all_gather(Place{color, key});
  std::vector<Rank> members;
  for (Rank rank = 0; rank < size(); ++rank) {
    if (places[static_cast<std::size_t>(rank)].color == color) members.push_back(rank);
  }
  std::ranges::stable_sort(members, {},
                           [&](Rank rank) { return places[static_cast<std::size_t>(rank)].key; });
  std::vector<Rank> names;
  for (const Rank rank : members) names.push_back(shared_->names[static_cast<std::size_t>(rank)]);
  const auto parts = shared_->all_gather(
      rank_, std::make_shared<Cluster::Shared>(names, shared_->timeout, shared_->faults));
  const auto own = std::ranges::find(members, rank_) - members.begin();
  return std::make_unique<LocalGroup>(parts[static_cast<std::size_t>(members.front())],
                                      static_cast<Rank>(own), background_);
}

Cluster::Cluster(int size, std::chrono::milliseconds timeout) {
  GOSSIP_CHECK(size >= 1, "A cluster cannot have {} ranks: it needs at least 1.", size);
  std::vector<Rank> names(static_cast<std::size_t>(size));
  std::iota(names.begin(), names.end(), 0);
  shared_ = std::make_shared<Shared>(std::move(names), timeout, std::make_shared<Faults>(size));
}

std::unique_ptr<Group> Cluster::group(Rank rank) const {
  GOSSIP_CHECK(rank >= 0 && rank < shared_->size, "There is no rank {} in a cluster of {} ranks.",
               rank, shared_->size);
  return std::make_unique<LocalGroup>(shared_, rank, std::make_shared<Background>());
}

Faults& Cluster::faults() { return *shared_->faults; }

}  // namespace gossip::transport::local
