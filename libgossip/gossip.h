// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// All that a training program needs.

#include <libgossip/base/version.h>
