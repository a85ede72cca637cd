// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <torch/nn/module.h>
#include <torch/optim/sgd.h>

#include <libgossip/base/error.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/optim/curvature.h>
#include <libgossip/optim/dadao.h>
#include <libgossip/topology/union_graph.h>
#include <libgossip/transport/agreement.h>

namespace gossip::optim {

/// What the worker's local update works on.
struct DADAO::Run {
  std::shared_ptr<const algorithm::DADAO> method;
  double weight_decay = 0.0;
  std::int64_t average_from = -1;
  engine::ModelPort* model = nullptr;
  std::unique_ptr<engine::PlainPort> port;  // the worker's: step() in place of the local optimizer
  engine::PairWorker* worker = nullptr;
  algorithm::DivergenceGuard guard;
  std::vector<std::vector<std::byte>> averages;  // of the model's vectors
  std::int64_t averaged = 0;                     // steps

  void step() {
    model->load_gradient();
    const std::vector<VectorView> gradients = model->gradient();
    double squares = 0.0;
    for (std::size_t v = 0; v < gradients.size(); ++v) {
      const std::vector<VectorView> state = worker->local_state(v);
      visit(gradients[v], [&]<class T>(std::span<T> gradient) {
        if (weight_decay == 0.0) return;
        kernels::axpby(weight_decay, std::span<const T>(state[0].as<T>()), 1.0, gradient);
      });
      squares += method->gradient_event(state, gradients[v]);
    }
    guard.check(squares, *method, worker->events_over_planned());
    if (average_from >= 0 && worker->position().step >= average_from) average();
  }

  void average() {
    const double share = 1.0 / static_cast<double>(++averaged);
    const std::vector<VectorView> values = worker->model_memory();
    for (std::size_t v = 0; v < values.size(); ++v) {
      visit(values[v], [&]<class T>(std::span<T> x) {
        kernels::axpby(share, std::span<const T>(x), 1.0 - share, make_view(v, values[v]).as<T>());
      });
    }
  }

  VectorView make_view(std::size_t v, const VectorView& shape) {
    averages.resize(std::max(averages.size(), v + 1));
    averages[v].resize(shape.bytes());
    return view(v, shape);
  }

  VectorView view(std::size_t v, const VectorView& shape) {
    return {shape.dtype, averages[v].data(), shape.size};
  }
};

namespace {

std::unique_ptr<torch::optim::Optimizer> groups_of(const torch::nn::Module& module) {
  return std::make_unique<torch::optim::SGD>(module.parameters(), torch::optim::SGDOptions(1.0));
}

double lipschitz_of(transport::Group& group, torch::nn::Module& module, const DADAOOptions& options,
                    const CollectiveCall& /*it belongs to*/) {
  constexpr double kMargin = 1.1;                // power iteration comes from below
  group.meet("the smoothness of DADAO's loss");  // which no other method asks for
  double own = options.lipschitz();
  transport::check_together(group, [&] {
    if (own != 0.0) return;
    GOSSIP_CHECK(options.loss() != nullptr,
                 "DADAO needs the constant L of smoothness: give lipschitz, or a loss to estimate "
                 "it from.");
    const double curvature = largest_curvature(module, options.loss());
    GOSSIP_CHECK(std::isfinite(curvature),
                 "The largest curvature of DADAO's loss is {} on this rank: are its data numbers?",
                 curvature);
    own = kMargin * curvature + options.weight_decay();
  });
  return group.all_reduce(own, transport::Reduction::kMax);  // the most curved loss counts
}

}  // namespace

DADAO::DADAO(transport::Group& group, torch::nn::Module& module, const topology::Schedule& schedule,
             const DADAOOptions& options)
    : DADAO(group, module, schedule, options, std::make_shared<Run>()) {}

DADAO::DADAO(transport::Group& group, torch::nn::Module& module, const topology::Schedule& schedule,
             const DADAOOptions& options, std::shared_ptr<Run> run)
    : Decentralized(
          group, module, groups_of(module),
          [&, lipschitz = lipschitz_of(group, module, options,
                                       construction(options.timeout()))]() -> MakeWorker {
            GOSSIP_CHECK(options.weight_decay() >= 0.0,
                         "The weight decay is {}: it must be at least 0.", options.weight_decay());
            const topology::Graph graph = topology::union_graph(schedule);
            run->method = std::make_shared<algorithm::DADAO>(algorithm::dadao_constants(
                options.mu() != 0.0 ? options.mu() : options.weight_decay(), lipschitz, graph,
                options.safety()));
            run->weight_decay = options.weight_decay();
            run->average_from = options.average_from();
            return [&, graph](engine::ModelPort& model) {
              run->model = &model;
              run->port = std::make_unique<engine::PlainPort>(
                  model.model(), std::vector<VectorView>{}, [steps = run.get()] { steps->step(); });
              auto worker = std::make_unique<engine::PairWorker>(
                  group, run->method, graph, *run->port,
                  engine::PairWorkerOptions{
                      .exchanges_per_step =
                          group.size() > 1 ? run->method->constants().rate / group.size() : 1.0,
                      .is_paced = true,
                      .seed = options.seed(),
                      .timeout = options.timeout()});
              run->worker = worker.get();
              return worker;
            };
          },
          schedule,
          {.initial = options.initial(),
           .timeout = options.timeout(),
           .name = "dadao",
           .text = fmt::format("weight_decay {}, mu {}, lipschitz {}, safety {}, average_from {}, "
                               "seed {}, initial {}",
                               options.weight_decay(), options.mu(), options.lipschitz(),
                               options.safety(), options.average_from(), options.seed(),
                               static_cast<int>(options.initial()))}),
      run_(std::move(run)) {
  for (torch::optim::OptimizerParamGroup& parameters : param_groups_) {
    parameters.options().set_lr(constants().gamma);
  }
}

const algorithm::DADAOConstants& DADAO::constants() const noexcept {
  return run_->method->constants();
}

void DADAO::add_state(model::StateDict& state) const {
  state.add("averaged", Value(run_->averaged));
  const std::vector<VectorView> shapes = flat_model().parameters();
  for (std::size_t v = 0; run_->averaged > 0 && v < shapes.size(); ++v) {
    state.add(fmt::format("average.{}", v), model::tensor_of(run_->view(v, shapes[v])));
  }
}

std::function<void()> DADAO::plan_more(model::StateReader& saved) {
  const auto averaged = saved.value<std::int64_t>("averaged");
  const std::vector<VectorView> shapes = flat_model().parameters();
  std::vector<at::Tensor> averages;
  for (std::size_t v = 0; averaged > 0 && v < shapes.size(); ++v) {
    averages.push_back(saved.tensor(fmt::format("average.{}", v), model::tensor_of(shapes[v])));
  }
  return [this, averaged, shapes, averages] {
    run_->averaged = averaged;
    for (std::size_t v = 0; v < averages.size(); ++v) {
      model::tensor_of(run_->make_view(v, shapes[v])).copy_(averages[v]);
    }
  };
}

std::vector<VectorView> DADAO::evaluated() {
  std::vector<VectorView> result = Decentralized::evaluated();
  if (run_->averaged == 0) return result;
  for (std::size_t v = 0; v < result.size(); ++v) result[v] = run_->view(v, result[v]);
  return result;
}

}  // namespace gossip::optim
