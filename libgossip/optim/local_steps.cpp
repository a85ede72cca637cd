// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/diloco.h>
#include <libgossip/algorithm/hierarchical_local_sgd.h>
#include <libgossip/algorithm/local_sgd.h>
#include <libgossip/algorithm/scaffold.h>
#include <libgossip/algorithm/slowmo.h>
#include <libgossip/base/error.h>
#include <libgossip/optim/local_steps.h>
#include <libgossip/topology/weights.h>

namespace gossip::optim {
StagedMethod LocalSGDOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  GOSSIP_CHECK(switch_step() >= 0, "switch_step is {}: it must be at least 0.", switch_step());
  std::vector<algorithm::Period> periods{{0, local_steps()}};
  if (switch_step() > 0) periods = {{0, 1}, {switch_step(), local_steps()}};
  return {std::make_shared<const algorithm::LocalSGD>(std::move(periods)), schedule};
}

std::string LocalSGDOptions::text() const {
  return fmt::format("local_steps {}, switch_step {}, initial {}", local_steps(), switch_step(),
                     static_cast<int>(initial()));
}

StagedMethod HierarchicalLocalSGDOptions::method(const topology::Schedule& schedule,
                                                 Rank /*rank*/) const {
  GOSSIP_CHECK(group_size() >= 1, "group_size is {}: it must be at least 1.", group_size());
  std::vector<std::vector<Rank>> groups;
  for (Rank rank = 0; rank < schedule.size(); ++rank) {
    if (rank % group_size() == 0) groups.emplace_back();
    groups.back().push_back(rank);
  }
  return {std::make_shared<const algorithm::HierarchicalLocalSGD>(local_steps(), outer_steps()),
          topology::average_within(schedule.size(), groups)};
}

std::string HierarchicalLocalSGDOptions::text() const {
  return fmt::format("local_steps {}, outer_steps {}, group_size {}, initial {}", local_steps(),
                     outer_steps(), group_size(), static_cast<int>(initial()));
}

StagedMethod SlowMoOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::SlowMo>(local_steps(), slow_rate(), slow_momentum()),
          schedule};
}

std::string SlowMoOptions::text() const {
  return fmt::format("local_steps {}, slow_rate {}, slow_momentum {}, initial {}", local_steps(),
                     slow_rate(), slow_momentum(), static_cast<int>(initial()));
}

StagedMethod DiLoCoOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::DiLoCo>(local_steps(), outer_rate(), outer_momentum(),
                                                    fragments()),
          schedule};
}

std::string DiLoCoOptions::text() const {
  return fmt::format("local_steps {}, outer_rate {}, outer_momentum {}, fragments {}, initial {}",
                     local_steps(), outer_rate(), outer_momentum(), fragments(),
                     static_cast<int>(initial()));
}

StagedMethod ScaffoldOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::Scaffold>(local_steps(), global_rate()), schedule};
}

std::string ScaffoldOptions::text() const {
  return fmt::format("local_steps {}, global_rate {}, initial {}", local_steps(), global_rate(),
                     static_cast<int>(initial()));
}

}  // namespace gossip::optim
