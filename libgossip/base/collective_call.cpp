// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/base/collective_call.h>

namespace gossip {
namespace {

thread_local CollectiveCall* innermost = nullptr;

}  // namespace

CollectiveCall::CollectiveCall(std::string_view name, Patience patience, std::int64_t step,
                               bool is_in_step)
    : name_(name),
      step_(step),
      is_in_step_(is_in_step),
      patience_(std::move(patience)),
      around_(std::exchange(innermost, this)) {
  if (around_ == nullptr) return;
  name_ = around_->name_;
  step_ = around_->step_;
  is_in_step_ = around_->is_in_step_;
}

CollectiveCall::~CollectiveCall() { innermost = around_; }

std::string_view CollectiveCall::name() noexcept {
  return innermost == nullptr ? std::string_view() : innermost->name_;
}

std::int64_t CollectiveCall::step() noexcept {
  return innermost == nullptr ? kNoStep : innermost->step_;
}

bool CollectiveCall::is_in_step() noexcept {
  return innermost != nullptr && innermost->is_in_step_;
}

const Patience& CollectiveCall::patience() noexcept {
  static const Patience otherwise;
  return innermost == nullptr ? otherwise : innermost->patience_;
}

}  // namespace gossip
