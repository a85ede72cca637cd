// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/base/error.h>
#include <libgossip/transport/ring_plan.h>

namespace gossip::transport {
namespace {

/// Smaller messages take as long as these.
constexpr std::size_t kLeastBytes = std::size_t{4} << 10U;

/// With so many pieces of a chunk a rank has something to send while it waits for what it adds to.
constexpr std::size_t kFewestPieces = 4;

std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Collects the sums of all chunks, and hands them around.
RingPass pass_around(const std::vector<Rank>& ring, Rank rank) {
  RingPass pass;
  pass.ranks = ring.size();
  pass.position = static_cast<std::size_t>(std::ranges::find(ring, rank) - ring.begin());
  GOSSIP_ASSERT(pass.position < pass.ranks, "rank {} is not on its ring", rank);
  pass.next = ring[(pass.position + 1) % pass.ranks];
  pass.previous = ring[(pass.position + pass.ranks - 1) % pass.ranks];
  pass.end_round = 2 * (pass.ranks - 1);
  return pass;
}

std::vector<RingPass> passes_by_host(const std::vector<std::vector<Rank>>& hosts,
                                     const std::vector<Rank>& own_host, Rank rank) {
  const std::size_t size = own_host.size();
  RingPass collect = pass_around(own_host, rank);
  RingPass share = collect;
  collect.end_round = share.first_round = size - 1;
  std::vector<Rank> counterparts;
  for (const std::vector<Rank>& host : hosts) counterparts.push_back(host[collect.position]);
  RingPass between = pass_around(counterparts, rank);
  between.first_chunk = (collect.position + 1) % size;  // whose sum is here, in each section
  between.stride = size;
  between.needs_the_last = true;

  std::vector<RingPass> passes;
  for (collect.first_chunk = 0; collect.first_chunk < size * hosts.size();) {
    passes.push_back(collect);
    collect.first_chunk += size;
  }
  passes.push_back(between);
  share.needs_the_last = true;
  for (share.first_chunk = 0; share.first_chunk < size * hosts.size();) {
    passes.push_back(share);
    share.first_chunk += size;
    share.needs_the_last = false;
  }
  return passes;
}

}  // namespace

RingPlan::RingPlan(const std::vector<std::vector<Rank>>& hosts, Rank rank, std::size_t piece_bytes,
                   std::size_t most_pieces)
    : piece_bytes_(piece_bytes), most_pieces_(most_pieces) {
  std::vector<Rank> all;
  const std::vector<Rank>* own_host = &hosts.front();
  for (const std::vector<Rank>& host : hosts) {
    all.insert(all.end(), host.begin(), host.end());
    if (std::ranges::find(host, rank) != host.end()) own_host = &host;
  }
  ranks_ = all.size();
  const bool is_even = std::ranges::all_of(
      hosts, [&](const std::vector<Rank>& host) { return host.size() == own_host->size(); });
  if (is_even && own_host->size() > 1 && hosts.size() > 1) {
    passes_ = passes_by_host(hosts, *own_host, rank);
  } else {
    passes_ = {pass_around(all, rank)};
  }
}

RingPlan::Cut RingPlan::cut(const VectorView& vector) const {
  const std::size_t width = size_of(vector.dtype);
  const std::size_t layer = ranks_ * (piece_bytes_ / width);  // elements: a piece of each chunk
  Cut cut;
  cut.blocks = divide_up(vector.size, most_pieces_ * layer);
  if (cut.blocks == 0) return cut;
  const std::size_t block = divide_up(vector.size, cut.blocks);
  const std::size_t fewest = std::min(kFewestPieces, block * width / (ranks_ * kLeastBytes));
  cut.pieces = std::max({std::size_t{1}, fewest, divide_up(block, layer)});
  return cut;
}

VectorView RingPlan::piece(const VectorView& vector, const Cut& cut, std::size_t block,
                           std::size_t chunk, std::size_t index) const {
  const std::size_t begin = vector.size * block / cut.blocks;
  const std::size_t size = vector.size * (block + 1) / cut.blocks - begin;
  const std::size_t count = ranks_ * cut.pieces;
  const std::size_t number = chunk * cut.pieces + index;
  const std::size_t first = begin + size * number / count;
  const std::size_t last = begin + size * (number + 1) / count;
  return vector.part(first, last - first);
}

}  // namespace gossip::transport
