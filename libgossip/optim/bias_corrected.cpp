// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/algorithm/extra.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/kgt.h>
#include <libgossip/algorithm/led.h>
#include <libgossip/algorithm/lsgt.h>
#include <libgossip/base/error.h>
#include <libgossip/optim/bias_corrected.h>
#include <libgossip/topology/weights.h>

namespace gossip::optim {
namespace {

topology::Schedule mixed_with(const topology::Schedule& schedule, bool is_lazy) {
  if (!is_lazy || schedule.period() != 1) return schedule;  // which is refused in good time
  return {topology::lazy(schedule.matrix(0)), schedule.name()};
}

}  // namespace

StagedMethod GradientTrackingOptions::method(const topology::Schedule& schedule,
                                             Rank /*rank*/) const {
  return {std::make_shared<const algorithm::GradientTracking>(order()), schedule};
}

std::string GradientTrackingOptions::text() const {
  return fmt::format("order {}, initial {}", static_cast<int>(order()),
                     static_cast<int>(initial()));
}

StagedMethod ExactDiffusionOptions::method(const topology::Schedule& schedule,
                                           Rank /*rank*/) const {
  return {std::make_shared<const algorithm::ExactDiffusion>(), mixed_with(schedule, lazy())};
}

std::string ExactDiffusionOptions::text() const {
  return fmt::format("lazy {}, initial {}", lazy(), static_cast<int>(initial()));
}

StagedMethod EXTRAOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::EXTRA>(), schedule};
}

std::string EXTRAOptions::text() const {
  return fmt::format("initial {}", static_cast<int>(initial()));
}

StagedMethod LEDOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::LED>(local_steps()), mixed_with(schedule, lazy())};
}

std::string LEDOptions::text() const {
  return fmt::format("local_steps {}, lazy {}, initial {}", local_steps(), lazy(),
                     static_cast<int>(initial()));
}

StagedMethod KGTOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::KGT>(local_steps(), global_rate()), schedule};
}

std::string KGTOptions::text() const {
  return fmt::format("local_steps {}, global_rate {}, initial {}", local_steps(), global_rate(),
                     static_cast<int>(initial()));
}

StagedMethod LSGTOptions::method(const topology::Schedule& schedule, Rank /*rank*/) const {
  return {std::make_shared<const algorithm::LSGT>(local_steps()), schedule};
}

std::string LSGTOptions::text() const {
  return fmt::format("local_steps {}, initial {}", local_steps(), static_cast<int>(initial()));
}

}  // namespace gossip::optim
