// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <torch/serialize/archive.h>

#include <libgossip/base/error.h>
#include <libgossip/optim/estimator_state.h>

namespace gossip::optim::detail {
namespace {

std::string key_of(std::size_t index) { return fmt::format("tensor.{}", index); }

}  // namespace

void save_estimator(torch::serialize::OutputArchive& archive, std::string_view name,
                    const GradientAt::Tensors& tensors) {
  archive.write("estimator", c10::IValue(std::string(name)));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    archive.write(key_of(i), tensors[i], /*is_buffer=*/true);
  }
}

void check_estimator(torch::serialize::InputArchive& archive, std::string_view name) {
  c10::IValue saved;
  GOSSIP_CHECK(archive.try_read("estimator", saved),
               "The archive is not the state of a gradient estimator (it lacks 'estimator'): load "
               "what save() of a '{}' wrote.",
               name);
  GOSSIP_CHECK(saved.toStringRef() == name,
               "The archive is the state of '{}', but this estimator is '{}'.", saved.toStringRef(),
               name);
}

c10::IValue load_value(torch::serialize::InputArchive& archive, std::string_view key) {
  c10::IValue value;
  GOSSIP_CHECK(archive.try_read(std::string(key), value),
               "The archive lacks '{}', which every save() of this estimator writes.", key);
  return value;
}

void load_tensors(torch::serialize::InputArchive& archive, const GradientAt::Tensors& tensors) {
  GradientAt::Tensors loaded(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const bool is_there = archive.try_read(key_of(i), loaded[i], /*is_buffer=*/true);
    GOSSIP_CHECK(is_there && loaded[i].sizes() == tensors[i].sizes() &&
                     loaded[i].scalar_type() == tensors[i].scalar_type(),
                 "The archive has tensor {} as {} [{}], but {} [{}] is needed: it is the state for "
                 "another model.",
                 i, is_there ? c10::toString(loaded[i].scalar_type()) : "nothing",
                 is_there ? fmt::format("{}", fmt::join(loaded[i].sizes(), ", ")) : "",
                 c10::toString(tensors[i].scalar_type()), fmt::join(tensors[i].sizes(), ", "));
  }
  copy_(tensors, loaded);
}

}  // namespace gossip::optim::detail
