// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/algorithm/stage.h>

namespace gossip::algorithm {

Evaluate evaluate() { return {}; }

LocalUpdate local_update(int along) { return {along}; }

Combine combine(int vector, std::vector<Term> terms, Fragment fragment) {
  return {vector, std::move(terms), fragment};
}

Compress compress(int vector) { return {vector}; }

Mix mix(std::vector<int> pulled) { return {.pulled = std::move(pulled)}; }

Mix mix_compressed(int vector) { return {.pulled = {vector}, .is_compressed = true}; }

Mix push(std::vector<int> pulled, std::vector<int> pushed) {
  return {.pulled = std::move(pulled), .pushed = std::move(pushed)};
}

Mix with_weight(Mix mix) {
  mix.carries_weight = true;
  return mix;
}

Mix with_sent(Mix mix, int sent, int corrected, bool is_pushed) {
  mix.correction = Correction{.sent = sent, .vector = corrected, .is_pushed = is_pushed};
  return mix;
}

Mix push_sent(int sent, int replaced) {
  return {.correction = Correction{sent, replaced, /*is_pushed=*/true, /*replaces=*/true}};
}

Mean mean(int vector, Fragment fragment) { return {vector, fragment}; }

}  // namespace gossip::algorithm
