// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/hierarchical_local_sgd.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {

HierarchicalLocalSGD::HierarchicalLocalSGD(std::int64_t inner_steps, std::int64_t outer_steps)
    : Algorithm({.name = "hierarchical-local-sgd",
                 .kinds = {{evaluate(), local_update()},
                           {evaluate(), local_update(), mix({kModel})},
                           {evaluate(), local_update(), mean(kModel)}}}),
      inner_steps_(inner_steps),
      outer_steps_(outer_steps) {
  check_local_steps(inner_steps);
  GOSSIP_CHECK(outer_steps >= 1,
               "outer_steps is {}: the steps between two means of all must be at least 1.",
               outer_steps);
}

std::size_t HierarchicalLocalSGD::kind_of(std::int64_t step) const {
  if ((step + 1) % outer_steps_ == 0) return 2;
  return (step + 1) % inner_steps_ == 0 ? 1 : 0;
}

}  // namespace gossip::algorithm
