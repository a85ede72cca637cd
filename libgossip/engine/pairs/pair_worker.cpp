// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/pairs/pair_worker.h>

namespace gossip::engine {

PairWorker::PairWorker(transport::Group& group,
                       std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
                       const topology::Graph& graph, ModelPort& port,
                       const PairWorkerOptions& options)
    : algorithm_(std::move(algorithm)),
      port_(port),
      is_alone_(group.size() == 1),
      exchange_(group, algorithm_, port.model(),
                exchange_options(group, *algorithm_, graph, options)),
      pacing_(make_pacing(group, graph, options, exchange_)) {}

PairWorker::~PairWorker() = default;

void PairWorker::prepare(const policy::Decision& decision) {
  check_plain(decision);
  if (is_open_) come_back();
  if (decision.communicates) pacing_->await_exchanges();
}

void PairWorker::check_finish(const policy::Decision& decision) const {
  if (decision.exchanges) pacing_->check_exchanges(*decision.exchanges);
}

void PairWorker::finish(const policy::Decision& decision) {
  check_finish(decision);
  exchange_.open();
  try {
    port_.local_update();
    if (is_alone_) pass_time();
  } catch (...) {
    exchange_.close();
    throw;
  }
  pacing_->count_step(decision.communicates);
  ++position_.step;
  exchange_.set_step(position_.step);
  exchange_.close();
  exchange_.membership().set_steps(position_.step);
  if (decision.communicates) pacing_->start_exchanges(position_.step, decision.exchanges);
}

/// Where there are no events ever, a step is the unit of time. Of relative methods all vectors are
/// equal then.
void PairWorker::pass_time() {
  if (algorithm_->is_relative()) return;
  for (std::size_t v = 0; v < exchange_.model().size(); ++v) {
    algorithm_->flow(local_state(v), 1.0);
  }
}

std::vector<VectorView> PairWorker::local_state(std::size_t vector) const {
  std::vector<VectorView> result{exchange_.model()[vector]};
  for (int v = 1; v < algorithm_->num_vectors(); ++v) {
    result.push_back(exchange_.state(v)[vector]);
  }
  return result;
}

void PairWorker::leave() {
  if (is_open_) return;
  exchange_.membership().leave();
  exchange_.drain();
  is_open_ = true;
}

void PairWorker::come_back() {
  exchange_.close();
  pacing_->resume();
  exchange_.membership().come_back();
  is_open_ = false;
}

void PairWorker::come_back_alone() {
  exchange_.membership().come_back_alone();
  come_back();
}

void PairWorker::set_position(const Position& position) {
  position_ = position;
  exchange_.set_step(position_.step);
  exchange_.membership().restart(position_.step);
}

std::vector<StateVector> PairWorker::state() {
  std::vector<StateVector> result;
  for (int v = 1; v < algorithm_->num_vectors(); ++v) {
    const std::vector<VectorView> vectors = exchange_.state(v);
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      result.push_back({fmt::format("{}_{}_{}", algorithm_->name(), v, i), vectors[i]});
    }
  }
  return result;
}

}  // namespace gossip::engine
