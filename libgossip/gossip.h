// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// All that a training program needs.

#include <libgossip/base/error.h>
#include <libgossip/base/version.h>
#include <libgossip/optim/a2cid2.h>
#include <libgossip/optim/ad_psgd.h>
#include <libgossip/optim/all_reduce.h>
#include <libgossip/optim/async_gossip.h>
#include <libgossip/optim/factory.h>
#include <libgossip/optim/gossip_sgd.h>
#include <libgossip/optim/push_sum.h>
#include <libgossip/runtime/run_main.h>
#include <libgossip/runtime/session.h>
#include <libgossip/topology/factory.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>
