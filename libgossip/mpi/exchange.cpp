// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>
#include <utility>

#include <libgossip/mpi/exchange.h>

namespace gossip::mpi {
namespace {

struct Entry {
  std::uint64_t receiver;
  std::uint64_t number;
};

}  // namespace

std::vector<std::uint64_t> exchange_numbers(const Communicator& communicator,
                                            std::span<const std::uint64_t> numbers) {
  std::string own;
  for (std::size_t receiver = 0; receiver < numbers.size(); ++receiver) {
    if (numbers[receiver] == 0) continue;
    const Entry entry{receiver, numbers[receiver]};
    own.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  }
  std::vector<std::uint64_t> result;
  for (const std::string& sent : communicator.all_gather(own)) {
    std::uint64_t& number = result.emplace_back(0);
    for (std::size_t at = 0; at < sent.size(); at += sizeof(Entry)) {
      Entry entry;
      std::memcpy(&entry, sent.data() + at, sizeof(entry));
      if (std::cmp_equal(entry.receiver, communicator.rank())) number = entry.number;
    }
  }
  return result;
}

}  // namespace gossip::mpi
