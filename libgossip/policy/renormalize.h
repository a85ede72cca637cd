// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What is mixed in a round that closed without some neighbors. With M_ij = 1 where i accepted j,
/// and the weights W of the whole round:
///
/// | rule         | matrix                                   | rows | columns |
/// |--------------|------------------------------------------|------|---------|
/// | self         | M_ij W_ij, the rest to the diagonal      | 1    | no      |
/// | proportional | M_ij W_ij and W_ii, over their sum       | 1    | no      |
/// | agreed       | M_ij M_ji W_ij, the rest to the diagonal | 1    | 1       |
/// | pushed       | M_ij W_ij, the rest stays with sender j  | no   | 1       |
///
/// Rows that sum to 1 average; columns that sum to 1 keep the sum over all ranks. Each function
/// changes what one rank does in the round, in place and without allocating. docs/waiting.md says
/// which methods bear which rule.

#include <libgossip/policy/mask.h>
#include <libgossip/topology/schedule.h>

namespace gossip::policy {

/// Rule *self*: `in` keeps the neighbors of `accepted` with their weights, and the own value takes
/// the rest. `out` stays: what this rank's value counts elsewhere is decided there. The row must
/// sum to 1. Throws gossip::Error when `accepted` is not of the size of `in`.
void renormalize_self(topology::Neighborhood& neighborhood, const Mask& accepted);

/// Rule *proportional*: the same, but the neighbors' shares grow with the own one. With no neighbor
/// accepted the own value alone is left. Throws gossip::Error also when the weights that are left
/// do not have a positive sum.
void renormalize_proportional(topology::Neighborhood& neighborhood, const Mask& accepted);

/// Rule *agreed*: `in` and `out` keep the neighbors of `used`, see find_agreed(), and the own value
/// takes the rest: the matrix stays symmetric, and the mean over the ranks is kept. Throws
/// gossip::Error also unless row and column are the same.
void renormalize_agreed(topology::Neighborhood& neighborhood, const Mask& used);

/// Rule *pushed*: `in` keeps the neighbors of `accepted`, `out` those of `accepted_by`, the
/// receivers that took this rank's share; the own weight is what is left of the column, which must
/// sum to 1. Rows do not sum to 1: the method needs the push-sum weight. Throws gossip::Error when
/// a mask is not of the size of its list.
void renormalize_pushed(topology::Neighborhood& neighborhood, const Mask& accepted,
                        const Mask& accepted_by);

}  // namespace gossip::policy
