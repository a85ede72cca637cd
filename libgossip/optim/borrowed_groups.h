// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The parameter groups of a wrapper, lent to the optimizer that it wraps.

#include <utility>

#include <torch/optim/optimizer.h>

namespace gossip::optim {

/// Swaps the groups of the wrapper into the local optimizer while this object lives.
class BorrowedGroups {
 public:
  BorrowedGroups(torch::optim::Optimizer& owner, torch::optim::Optimizer& local)
      : owner_(owner), local_(local) {
    std::swap(owner_.param_groups(), local_.param_groups());
  }
  BorrowedGroups(const BorrowedGroups&) = delete;
  BorrowedGroups& operator=(const BorrowedGroups&) = delete;
  ~BorrowedGroups() { std::swap(owner_.param_groups(), local_.param_groups()); }

 private:
  torch::optim::Optimizer& owner_;
  torch::optim::Optimizer& local_;
};

}  // namespace gossip::optim
