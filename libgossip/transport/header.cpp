// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstddef>
#include <type_traits>

#include <libgossip/base/error.h>
#include <libgossip/transport/header.h>

namespace gossip::transport {

static_assert(std::endian::native == std::endian::little, "headers travel as they lie in memory");
static_assert(std::is_trivially_copyable_v<Header> && std::is_standard_layout_v<Header>);
static_assert(sizeof(Header) == 128);

static_assert(offsetof(Header, magic) == 0);
static_assert(offsetof(Header, version) == 4);
static_assert(offsetof(Header, kind) == 6);
static_assert(offsetof(Header, channel) == 8);
static_assert(offsetof(Header, generation) == 12);
static_assert(offsetof(Header, sequence) == 16);
static_assert(offsetof(Header, round) == 24);
static_assert(offsetof(Header, weight) == 32);
static_assert(offsetof(Header, bytes) == 40);
static_assert(offsetof(Header, log_rate) == 48);
static_assert(offsetof(Header, uses) == 56);
static_assert(offsetof(Header, accepted) == 64);
static_assert(offsetof(Header, step) == 72);
static_assert(offsetof(Header, beat) == 80);
static_assert(offsetof(Header, epoch) == 88);
static_assert(offsetof(Header, incarnation) == 92);
static_assert(offsetof(Header, in_step_ms) == 96);
static_assert(offsetof(Header, active_count) == 100);
static_assert(offsetof(Header, degree) == 104);
static_assert(offsetof(Header, live_degree) == 106);
static_assert(offsetof(Header, level) == 108);
static_assert(offsetof(Header, state) == 109);
static_assert(offsetof(Header, checksum_kind) == 110);
static_assert(offsetof(Header, zero) == 111);
static_assert(offsetof(Header, payload_sum) == 112);
static_assert(offsetof(Header, header_sum) == 120);
static_assert(offsetof(Header, padding) == 124);

void check_header(const Header& header, Rank from) {
  GOSSIP_CHECK(header.magic == Header::kMagic,
               "Rank {} sent a message that begins with {:#010x} instead of {:#010x} (\"GSP1\"): "
               "it is no message of libgossip, or was damaged on its way.",
               from, header.magic, Header::kMagic);
  GOSSIP_CHECK(header.version == Header::kVersion,
               "Rank {} sent a message with a header of version {}, and this rank reads version "
               "{}: start all ranks with the same version of libgossip.",
               from, header.version, Header::kVersion);
}

}  // namespace gossip::transport
