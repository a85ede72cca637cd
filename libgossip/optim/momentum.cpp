// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/decentlam.h>
#include <libgossip/algorithm/momentum_tracking.h>
#include <libgossip/algorithm/qg_dsgdm.h>
#include <libgossip/base/error.h>
#include <libgossip/optim/momentum.h>

namespace gossip::optim {
StagedMethod QGDSGDmOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::QGDSGDm>(momentum()), schedule};
}

std::string QGDSGDmOptions::text() const {
  return fmt::format("momentum {}, initial {}", momentum(), static_cast<int>(initial()));
}

StagedMethod DecentLaMOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::DecentLaM>(momentum()), schedule};
}

std::string DecentLaMOptions::text() const {
  return fmt::format("momentum {}, initial {}", momentum(), static_cast<int>(initial()));
}

StagedMethod MomentumTrackingOptions::method(const topology::Schedule& schedule,
                                             Rank /*rank*/) const {
  return {std::make_shared<const algorithm::MomentumTracking>(momentum()), schedule};
}

std::string MomentumTrackingOptions::text() const {
  return fmt::format("momentum {}, initial {}", momentum(), static_cast<int>(initial()));
}

}  // namespace gossip::optim
