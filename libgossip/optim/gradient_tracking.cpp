// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/optim/gradient_tracking.h>

namespace gossip::optim {

GradientTracking::GradientTracking(transport::Group& group, torch::nn::Module& module,
                                   std::unique_ptr<torch::optim::Optimizer> local,
                                   topology::Schedule schedule,
                                   const GradientTrackingOptions& options)
    : Decentralized(group, module, std::move(local),
                    [&] { return std::make_unique<algorithm::GradientTracking>(options.order()); },
                    std::move(schedule),
                    {.initial = options.initial(),
                     .timeout = options.timeout(),
                     .name = "gradient-tracking",
                     .text = fmt::format("order {}, initial {}", static_cast<int>(options.order()),
                                         static_cast<int>(options.initial()))}) {}

}  // namespace gossip::optim
