// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/agreement.h>
#include <libgossip/transport/hosts.h>
#include <libgossip/transport/mean_ring.h>
#include <libgossip/transport/mean_wait.h>
#include <libgossip/transport/meeting.h>
#include <libgossip/transport/memory_channel.h>
#include <libgossip/transport/mixed_channel.h>
#include <libgossip/transport/process_group.h>
#include <libgossip/transport/selection.h>
#include <libgossip/transport/shared/window_region.h>

namespace gossip::transport {
namespace {

#ifdef GOSSIP_CHECK_COLLECTIVE
constexpr bool kChecksMeans = true;
#else
constexpr bool kChecksMeans = false;
#endif

/// On a duplicate of the group's communicator.
class ProcessLargest final : public Largest {
 public:
  ProcessLargest(const mpi::Communicator& communicator, std::size_t count)
      : communicator_(mpi::Communicator::duplicate(communicator.get())),
        numbers_(std::make_shared<std::vector<double>>(count)) {}
  ~ProcessLargest() override {
    if (!is_over_) communicator_.disturb();
  }

  void start(std::span<const double> numbers) override {
    GOSSIP_ASSERT(is_over_ && numbers.size() == numbers_->size(),
                  "{} numbers to find the largest of, where {} were announced or one is under way",
                  numbers.size(), numbers_->size());
    std::ranges::copy(numbers, numbers_->begin());
    is_over_ = false;
    communicator_.max_async(numbers_, requests_);
  }

  [[nodiscard]] bool test() override { return is_over_ = is_over_ || requests_.test(); }

  [[nodiscard]] std::span<const double> numbers() const override { return *numbers_; }

 private:
  mpi::Communicator communicator_;
  std::shared_ptr<std::vector<double>> numbers_;
  mpi::Requests requests_;
  bool is_over_ = true;
};

/// Larger broadcasts inside a host go through shared memory in pieces of this size.
constexpr std::size_t kBroadcastPiece = std::size_t{1} << 20U;

/// Every receiver copies each piece out of the root's slot while it is in cache: several times
/// faster than MPI's broadcast of a model.
void broadcast_in_memory(Group& group, std::span<std::byte> bytes, Rank root) {
  const auto channel = group.make_channel({.capacity_bytes = kBroadcastPiece, .slots = 4});
  std::vector<Rank> receivers;
  for (Rank rank = 0; rank < group.size(); ++rank) {
    if (rank != root) receivers.push_back(rank);
  }
  for (std::size_t begin = 0; begin < bytes.size(); begin += kBroadcastPiece) {
    const std::span<std::byte> piece =
        bytes.subspan(begin, std::min(kBroadcastPiece, bytes.size() - begin));
    if (group.rank() == root) {
      std::memcpy(channel->acquire(receivers).data(), piece.data(), piece.size());
      channel->commit({.bytes = piece.size()});
    } else {
      const Message message = channel->next(root);
      std::memcpy(piece.data(), message.payload().data(), piece.size());
    }
  }
}

/// Memory of a rank that shares it with nobody: the process's own, which /dev/shm need not hold.
class PrivateRegion final : public Region {
 public:
  PrivateRegion(Rank rank, std::size_t bytes)
      : rank_(rank), bytes_(bytes), memory_(make_private_slots(1, bytes)) {
    std::memset(memory_->slot(0).data(), 0, bytes_);  // in memory before the first step
  }

  [[nodiscard]] std::span<std::byte> of(Rank rank) const override {
    GOSSIP_ASSERT(rank == rank_, "rank {} shares no memory with rank {}", rank, rank_);
    return memory_->slot(0).first(bytes_);
  }

 private:
  Rank rank_;
  std::size_t bytes_;
  std::unique_ptr<SlotMemory> memory_;
};

/// What the groups have together that were split from one another.
struct Shared {
  Rank rank = 0;    // in the first of them, and in the network
  Rank memory = 0;  // the first one that this one shares memory with
  Background background;
  std::unique_ptr<Network> network;  // made with the first channel or split that needs it
};

class ProcessGroup final : public Group {
 public:
  ProcessGroup(mpi::Communicator communicator, const TransportOptions& options,
               std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)),
        communicator_(std::move(communicator)),
        meeting_(mpi::Communicator::duplicate(communicator_.get())),
        mean_communicator_(duplicate_for_means()),
        options_(options),
        host_(split_by_memory()),
        index_in_host_(static_cast<std::size_t>(communicator_.size()), -1) {
    members_ = host_.all_gather(communicator_.rank());
    for (std::size_t index = 0; index < members_.size(); ++index) {
      index_in_host_[static_cast<std::size_t>(members_[index])] = static_cast<Rank>(index);
    }
    if (options_.kind == TransportKind::kShared) check_one_host();
    if (has_one_memory()) return;
    make_ring();
    for (const int size : communicator_.all_gather(host_.size())) has_memories_ |= size != 1;
    name_ = name();
  }

  [[nodiscard]] Rank rank() const override { return communicator_.rank(); }
  [[nodiscard]] int size() const override { return communicator_.size(); }
  [[nodiscard]] std::string_view transport() const override { return name_; }

  [[nodiscard]] bool shares_memory_with(Rank other) const override {
    return index_in_host_[static_cast<std::size_t>(other)] >= 0;
  }

  [[nodiscard]] Background& background() override { return shared_->background; }

  [[nodiscard]] std::unique_ptr<Channel> make_channel(const ChannelOptions& options) override;

  [[nodiscard]] std::unique_ptr<Region> make_region(std::size_t bytes) override {
    meet("the making of shared memory");  // nobody waits in MPI for a rank that still trains
    if (host_.size() == 1) return std::make_unique<PrivateRegion>(rank(), bytes);
    const CollectiveCall together = go_on_together();
    return std::make_unique<shared::WindowRegion>(host_, index_in_host_, bytes);
  }

  [[nodiscard]] std::unique_ptr<Mean> make_mean(const VectorView& vector, const Patience& patience,
                                                std::shared_ptr<const void> memory) override;

  [[nodiscard]] std::unique_ptr<Largest> make_largest(std::size_t count) override {
    meet(fmt::format("the making of the largest of {} numbers", count));
    return std::make_unique<ProcessLargest>(communicator_, count);
  }

  [[nodiscard]] std::unique_ptr<Group> split(int color, int key) override;

  void meet(std::string_view what) override;

  /// Of its own, since ranks come to other calls with different numbers of means started. A mean
  /// keeps the one that it was started on.
  [[nodiscard]] const std::shared_ptr<const mpi::Communicator>& mean_communicator() const noexcept {
    return mean_communicator_;
  }
  [[nodiscard]] Meeting& meeting() noexcept { return meeting_; }
  [[nodiscard]] bool checks_means() const noexcept { return kChecksMeans || options_.checks_means; }

  void barrier() override { meet("a barrier"); }
  void broadcast(std::span<std::byte> bytes, Rank root) override {
    meet(fmt::format("a broadcast of {} bytes of rank {}", bytes.size(), root));
    if (has_one_memory() && bytes.size() > kBroadcastPiece) {
      broadcast_in_memory(*this, bytes, root);
    } else {
      communicator_.broadcast(bytes, root);
    }
  }
  [[nodiscard]] std::vector<std::string> all_gather(std::string_view text) override {
    meet("a gather");
    return communicator_.all_gather(text);
  }

 protected:
  void gather(std::span<const std::byte> own, std::span<std::byte> all) override {
    meet(fmt::format("a gather of {} bytes", own.size()));
    communicator_.gather(own, all);
  }

 private:
  /// After a meeting: MPI gives some of the calls to come no deadline, so nobody leaves before them
  /// because its own timeout is short.
  [[nodiscard]] static CollectiveCall go_on_together() { return {{}, Patience()}; }

  [[nodiscard]] std::shared_ptr<const mpi::Communicator> duplicate_for_means() const {
    return std::make_shared<mpi::Communicator>(mpi::Communicator::duplicate(communicator_.get()));
  }
  [[nodiscard]] mpi::Communicator split_by_memory() const {
    return communicator_.split(shared_->memory, rank());
  }
  [[nodiscard]] bool has_one_memory() const { return host_.size() == communicator_.size(); }
  [[nodiscard]] std::string name() const;
  void make_network(const std::vector<Rank>& peers);
  [[nodiscard]] std::unique_ptr<NetworkChannel> make_network_channel(const ChannelOptions& options,
                                                                     const std::vector<Rank>& far);
  void make_ring();
  [[nodiscard]] std::unique_ptr<MemoryChannel> make_memory_channel(const ChannelOptions& options);
  [[nodiscard]] std::vector<Rank> distant(const ChannelOptions& options) const;
  void check_one_host();

  std::shared_ptr<Shared> shared_;
  mpi::Communicator communicator_;
  Meeting meeting_;
  std::shared_ptr<const mpi::Communicator> mean_communicator_;
  TransportOptions options_;
  mpi::Communicator host_;           // the ranks that share memory with this one
  std::vector<Rank> members_;        // their ranks here
  std::vector<Rank> index_in_host_;  // by rank; -1 for those elsewhere
  std::string name_ = "shared";
  bool has_memories_ = false;  // several hosts, and some of them with several ranks
  std::shared_ptr<const NetworkMembers> network_members_;  // made with the first channel
  std::shared_ptr<MeanRing> ring_;                         // on several hosts
};

/// MPI's non-blocking all-reduce: 1.6 times faster than the blocking one between hosts, and it runs
/// in the background.
class ProcessMean final : public Mean {
 public:
  ProcessMean(ProcessGroup& group, const VectorView& vector, const Patience& patience,
              std::shared_ptr<const void> memory)
      : group_(group),
        vector_(vector),
        sum_(vector),
        wait_(group.meeting(), patience),
        memory_(std::move(memory)) {
    if (memory_ == nullptr) make_copy();
  }
  ~ProcessMean() override {
    if (is_under_way_) communicator_->disturb();
  }

  void start() override {
    if (group_.checks_means()) group_.meet(fmt::format("a mean of {} bytes", vector_.bytes()));
    GOSSIP_CHECK(!group_.mean_communicator()->is_disturbed(), "{}", kGaveUpBefore);
    if (is_copied() && vector_.size > 0) std::memcpy(sum_.data, vector_.data, vector_.bytes());
    wait_.start();
    communicator_ = group_.mean_communicator();
    is_under_way_ = true;
    communicator_->sum_async(sum_, memory_, requests_);
  }

  void progress() override { static_cast<void>(requests_.test()); }

  void await() override {
    try {
      wait_.await([this](const Deadline& deadline, const std::function<void()>& while_waiting) {
        is_under_way_ = !requests_.wait(deadline, while_waiting);
        return !is_under_way_;
      });
    } catch (...) {
      give_up();
      throw;
    }
  }

  void take() override {
    const double share = 1.0 / group_.size();
    visit(vector_, [&]<class T>(std::span<T> values) {
      kernels::scale(sum_.as<T>(), share);
      if (is_copied()) std::ranges::copy(sum_.as<T>(), values.begin());
    });
  }

 private:
  [[nodiscard]] bool is_copied() const { return sum_.data != vector_.data; }

  void make_copy() {
    const auto copy = std::make_shared<std::vector<std::max_align_t>>(
        vector_.bytes() / sizeof(std::max_align_t) + 1);
    sum_.data = copy->data();
    memory_ = copy;
  }

  /// MPI goes on with the copy, so that another start takes a new one.
  void give_up() {
    communicator_->disturb();
    requests_.abandon();
    is_under_way_ = false;
    if (is_copied()) make_copy();
  }

  ProcessGroup& group_;
  VectorView vector_;
  VectorView sum_;  // lies where `memory_` keeps it
  MeanWait wait_;
  std::shared_ptr<const void> memory_;
  std::shared_ptr<const mpi::Communicator> communicator_;  // of the last start
  mpi::Requests requests_;
  bool is_under_way_ = false;
};

std::unique_ptr<Mean> ProcessGroup::make_mean(const VectorView& vector, const Patience& patience,
                                              std::shared_ptr<const void> memory) {
  if (ring_ && !checks_means() && MeanRing::is_faster_for(vector, size())) {
    return MeanRing::make_mean(ring_, vector, MeanWait(meeting_, patience), memory == nullptr);
  }
  return std::make_unique<ProcessMean>(*this, vector, patience, std::move(memory));
}

/// Where calls were given up the ranks' next ones on the same communicator would not fit together:
/// all get new ones, now that all are here.
void ProcessGroup::meet(std::string_view what) {
  Place place = Place::here(what);
  place.asks = communicator_.is_disturbed() || host_.is_disturbed() ||
               mean_communicator_->is_disturbed() || (ring_ && ring_->is_disturbed());
  if (!meeting_.meet(place, CollectiveCall::patience())) return;
  const CollectiveCall together = go_on_together();
  meeting_.renumber_waits();
  // What was given up may still be under way to any rank, and MPICH ends a job that frees such a
  // communicator.
  communicator_.disturb();
  host_.disturb();
  mean_communicator_->disturb();
  if (ring_) ring_->retire();
  communicator_ = mpi::Communicator::duplicate(meeting_.communicator().get());
  host_ = split_by_memory();
  mean_communicator_ = duplicate_for_means();
  if (ring_) make_ring();  // means that are in flight keep the old one
}

std::vector<Rank> ProcessGroup::distant(const ChannelOptions& options) const {
  std::vector<Rank> result;
  for (Rank rank = 0; rank < size(); ++rank) {
    const bool is_peer =
        !options.peers || std::ranges::find(*options.peers, rank) != options.peers->end();
    if (is_peer && !shares_memory_with(rank)) result.push_back(rank);
  }
  return result;
}

/// Of the transport between several hosts.
std::string ProcessGroup::name() const {
  if (!shared_->network) return "mpi";
  return fmt::format("{}{}", has_memories_ ? "shared+" : "",
                     shared_->network->mover_among(size()).name());
}

/// Only where no group was split from this one before, nor this one from another.
void ProcessGroup::make_network(const std::vector<Rank>& peers) {
  if (shared_->network) return;
  shared_->network = select_network(communicator_, options_, shared_->background, peers);
  name_ = name();
}

std::unique_ptr<NetworkChannel> ProcessGroup::make_network_channel(const ChannelOptions& options,
                                                                   const std::vector<Rank>& far) {
  make_network(far);
  Network& network = *shared_->network;
  if (!network_members_) {
    network_members_ = std::make_shared<NetworkMembers>(
        mpi::Communicator::duplicate(communicator_.get()), shared_->rank, network.size());
  }
  return network.make_channel(network_members_, options, far);
}

std::unique_ptr<Group> ProcessGroup::split(int color, int key) {
  meet("a split");
  const CollectiveCall together = go_on_together();
  check_together(*this, [&] {
    GOSSIP_CHECK(color >= 0, "A group cannot be split by the color {}: it must be at least 0.",
                 color);
  });
  if (!has_one_memory()) make_network(distant({}));
  return std::make_unique<ProcessGroup>(communicator_.split(color, key), options_, shared_);
}

void ProcessGroup::make_ring() {
  std::map<Rank, std::vector<Rank>> hosts;  // by the first rank of each
  Rank rank = 0;
  for (const Rank first : communicator_.all_gather(members_.front())) {
    hosts[first].push_back(rank++);
  }
  std::vector<std::vector<Rank>> ranks;
  for (auto& [first, members] : hosts) ranks.push_back(std::move(members));
  ring_ = std::make_shared<MeanRing>(mpi::Communicator::duplicate(communicator_.get()), ranks,
                                     shared_->background);
}

std::unique_ptr<Channel> ProcessGroup::make_channel(const ChannelOptions& options) {
  meet("the making of a channel");
  const CollectiveCall together = go_on_together();
  if (has_one_memory()) return make_memory_channel(options);
  const std::vector<Rank> far = distant(options);
  const bool needs_memory = has_memories_ && !options.only_between_hosts;
  check_together(*this, [&] {
    NetworkChannel::check(options, far.size());
    if (needs_memory) static_cast<void>(MemoryChannel::region_bytes(options, size()));
  });
  if (!needs_memory) return make_network_channel(options, far);
  auto memory = make_memory_channel(options);
  std::vector<bool> is_near;
  for (Rank other = 0; other < size(); ++other) is_near.push_back(shares_memory_with(other));
  return std::make_unique<MixedChannel>(options, rank(), std::move(is_near), std::move(memory),
                                        make_network_channel(options, far));
}

std::unique_ptr<MemoryChannel> ProcessGroup::make_memory_channel(const ChannelOptions& options) {
  const std::size_t bytes = MemoryChannel::region_bytes(options, size());
  std::unique_ptr<Region> region;
  if (has_one_memory()) {
    region = make_region(bytes);
  } else {  // what one host lacks, the others hear of
    check_together(*this, [&] { region = make_region(bytes); });
  }
  auto channel =
      std::make_unique<MemoryChannel>(std::move(region), rank(), size(), members_, options);
  barrier();
  return channel;
}

void ProcessGroup::check_one_host() {
  if (has_one_memory()) return;
  const std::vector<std::string> hosts = communicator_.all_gather(host_name());
  for (std::size_t rank = 1; rank < hosts.size(); ++rank) {
    if (hosts[rank] == hosts[0]) continue;
    throw JointError(
        fmt::format("The transport 'shared' was asked for, but rank 0 runs on host {} and rank {} "
                    "on host {}, and shared memory joins the ranks of one host only: start all "
                    "ranks on one host, or leave the choice to libgossip (auto).",
                    hosts[0], rank, hosts[rank]));
  }
  throw JointError(
      fmt::format("The transport 'shared' was asked for, but the ranks on host {} do not see each "
                  "other's shared memory (separate containers?): start them in one container, or "
                  "leave the choice to libgossip (auto).",
                  hosts[0]));
}

}  // namespace

std::unique_ptr<Group> make_process_group(mpi::Communicator communicator,
                                          const TransportOptions& options) {
  const CollectiveCall call("make_process_group()", CollectiveCall::patience());
  require_agreement(communicator.all_gather(describe(options)), "transport");
  auto shared = std::make_shared<Shared>();
  shared->rank = communicator.rank();
  shared->memory =
      communicator.split_by_host(options.ranks_per_memory).all_gather(communicator.rank()).front();
  return std::make_unique<ProcessGroup>(std::move(communicator), options, std::move(shared));
}

}  // namespace gossip::transport
