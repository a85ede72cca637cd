// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What the stress test needs besides groups; early_memory_channel.cpp and
/// early_network_channel.cpp have it for their ways of moving bytes.

#include <cstdint>
#include <memory>

#include <libgossip/transport/group.h>

namespace gossip::test {

/// A channel of the group whose readers find, each time they look, that half of the payload is not
/// there yet: the interleaving that a broken channel has now and then, forced. Collective.
std::unique_ptr<transport::Channel> make_early_channel(transport::Group& group,
                                                       const transport::ChannelOptions& options);

/// What the reads of the full test are divided by, unless GOSSIP_TEST_STRESS is `full`.
std::int64_t stress_divisor();

}  // namespace gossip::test
