// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <libgossip/algorithm/push_diging.h>
#include <libgossip/algorithm/push_pull.h>
#include <libgossip/base/error.h>
#include <libgossip/optim/push_pull.h>

namespace gossip::optim {
namespace {

topology::Matrices directed(const topology::Schedule& schedule) {
  return {topology::with_row_weights(schedule), topology::with_column_weights(schedule)};
}

}  // namespace

StagedMethod PushPullOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::PushPull>(order()), directed(schedule)};
}

std::string PushPullOptions::text() const {
  return fmt::format("order {}, initial {}", static_cast<int>(order()),
                     static_cast<int>(initial()));
}

StagedMethod SampledPushPullOptions::method(const topology::Schedule& schedule, Rank rank) const {
  GOSSIP_CHECK(active() > 0.0 && active() <= 1.0,
               "active is {}: the share of active ranks must be above 0 and at most 1.", active());
  const int count = std::max(1, static_cast<int>(std::lround(active() * schedule.size())));
  const topology::Sampling who =
      sampling() ? *sampling() : topology::Sampling::uniform(schedule.size(), count, seed());
  GOSSIP_CHECK(who.size() == schedule.size(),
               "The topology '{}' is for {} ranks, but the sampling '{}' for {}.", schedule.name(),
               schedule.size(), who.name(), who.size());
  const topology::Sampling all = topology::Sampling::everyone(schedule.size());
  return {std::make_shared<const algorithm::PushPull>(
              [who, rank](std::int64_t step) { return who.is_active(step, rank); }, stepping()),
          {topology::sampled_rows(schedule, all), topology::sampled_columns(schedule, all)}};
}

std::string SampledPushPullOptions::text() const {
  return fmt::format("sampling {}, active {}, seed {}, stepping {}, initial {}",
                     sampling() ? sampling()->name() : "at random", active(), seed(),
                     static_cast<int>(stepping()), static_cast<int>(initial()));
}

StagedMethod PushDIGingOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::PushDIGing>(), directed(schedule)};
}

std::string PushDIGingOptions::text() const {
  return fmt::format("initial {}", static_cast<int>(initial()));
}

}  // namespace gossip::optim
