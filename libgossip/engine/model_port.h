// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The one door between the engine and what trains.

#include <cstddef>
#include <memory>
#include <vector>

#include <libgossip/base/vector_view.h>

namespace gossip::engine {

/// Where a model and its gradient lie, and what only their owner can do with them. A worker calls
/// it on its caller's thread: from its constructor, prepare() and finish(). It must outlive the
/// worker.
class ModelPort {
 public:
  ModelPort() = default;
  ModelPort(const ModelPort&) = delete;
  ModelPort& operator=(const ModelPort&) = delete;
  virtual ~ModelPort() = default;

  /// The model, one view an element type, which stays there; of a worker with model_memory() only
  /// types and sizes count.
  [[nodiscard]] virtual std::vector<VectorView> model() = 0;

  /// One step of the local optimizer: changes the model by the gradient.
  virtual void local_update() = 0;

  /// The same with what lies here, of the model's types and sizes, in the gradient's place; only
  /// reads it. May be gradient().
  virtual void local_update_along(const std::vector<VectorView>& direction) = 0;

  /// Of the next local update. Throws gossip::Error where there is none, or not one for all.
  [[nodiscard]] virtual double learning_rate() = 0;

  /// Where the gradient is now, as pieces that together cover it, for methods that read it.
  [[nodiscard]] virtual const std::vector<VectorPiece>& find_gradient() = 0;

  /// Memory for the gradient, of the model's types and sizes, for methods that change it.
  [[nodiscard]] virtual std::vector<VectorView> gradient() = 0;

  /// Brings gradient() up to date, and tells the bytes that it read and wrote.
  virtual std::size_t load_gradient() { return 0; }

  /// What the mean is taken of, for methods that average the gradient: what travels with it may be
  /// there, too.
  [[nodiscard]] virtual std::vector<VectorView> gradient_to_average() { return gradient(); }

  /// Keeps that alive, so that its mean needs no copy; see Group::make_mean(). May be null.
  [[nodiscard]] virtual std::shared_ptr<const void> gradient_memory() { return nullptr; }

  /// Ends the mean itself, and puts it where local_update() reads it; or does nothing, and says no.
  virtual bool average_gradient() { return false; }
};

}  // namespace gossip::engine
