// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A model and a gradient in vectors of the caller's own.

#include <functional>
#include <vector>

#include <libgossip/base/vector_view.h>
#include <libgossip/engine/model_port.h>

namespace gossip::engine {

/// For programs without LibTorch: the vectors lie where they are, and a function is the local
/// optimizer.
///
/// ```
/// PlainPort port({std::span(x)}, {std::span(gradient)}, [&] { descend(x, gradient, rate); });
/// StagedWorker worker(group, std::make_shared<const algorithm::GossipSGD>(), ring, port);
/// ```
class PlainPort : public ModelPort {
 public:
  /// The vectors must outlive it. Without `gradient` only methods can be driven that do not look at
  /// one. `rate` is asked by methods that scale with it.
  explicit PlainPort(
      std::vector<VectorView> model, std::vector<VectorView> gradient = {},
      std::function<void()> local_update = [] {}, std::function<double()> rate = {});

  [[nodiscard]] std::vector<VectorView> model() override { return model_; }
  void local_update() override { local_update_(); }

  /// Copies `direction` into the gradient.
  void local_update_along(const std::vector<VectorView>& direction) override;
  [[nodiscard]] double learning_rate() override;
  [[nodiscard]] const std::vector<VectorPiece>& find_gradient() override { return pieces_; }
  [[nodiscard]] std::vector<VectorView> gradient() override { return gradient_; }

 private:
  std::vector<VectorView> model_;
  std::vector<VectorView> gradient_;
  std::vector<VectorPiece> pieces_;  // one each
  std::function<void()> local_update_;
  std::function<double()> rate_;
};

}  // namespace gossip::engine
