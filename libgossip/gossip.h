// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// All that a training program needs.

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/version.h>
#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/optim/a2cid2.h>
#include <libgossip/optim/ad_psgd.h>
#include <libgossip/optim/all_reduce.h>
#include <libgossip/optim/async_gossip.h>
#include <libgossip/optim/bias_corrected.h>
#include <libgossip/optim/compressed.h>
#include <libgossip/optim/curvature.h>
#include <libgossip/optim/dadao.h>
#include <libgossip/optim/factory.h>
#include <libgossip/optim/gossip_sgd.h>
#include <libgossip/optim/local_steps.h>
#include <libgossip/optim/loopless_svrg.h>
#include <libgossip/optim/momentum.h>
#include <libgossip/optim/push_pull.h>
#include <libgossip/optim/push_sum.h>
#include <libgossip/optim/saga.h>
#include <libgossip/optim/storm.h>
#include <libgossip/runtime/run_main.h>
#include <libgossip/runtime/session.h>
#include <libgossip/runtime/signals.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/factory.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/hierarchical.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>
#include <libgossip/train/adaptive_period.h>
#include <libgossip/train/build_info.h>
#include <libgossip/train/evaluation.h>
#include <libgossip/train/job.h>
#include <libgossip/train/label_skew.h>
#include <libgossip/train/metrics.h>
#include <libgossip/train/progress.h>
#include <libgossip/train/run_record.h>
#include <libgossip/train/shard.h>
#include <libgossip/train/snapshots.h>
#include <libgossip/transport/agreement.h>
#include <libgossip/transport/hosts.h>
