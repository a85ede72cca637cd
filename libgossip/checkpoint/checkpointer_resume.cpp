// SPDX-License-Identifier: Apache-2.0
// How a run is resumed; checkpointer.cpp has how it is saved.
#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/checkpoint/module_state.h>
#include <libgossip/checkpoint/saved_tensor.h>
#include <libgossip/model/memory.h>
#include <libgossip/transport/agreement.h>

namespace gossip::checkpoint {
namespace {

/// What cannot be seen may be there: reading it says what is wrong.
bool may_be_there(const std::filesystem::path& path) {
  std::error_code error;
  return is_there(path, error) || error;
}

/// Whether the set has ranks 0 to `size` - 1, and no others.
bool has_just(const Manifest& manifest, int size) {
  if (std::cmp_not_equal(manifest.ranks.size(), size)) return false;
  for (std::size_t i = 0; i < manifest.ranks.size(); ++i) {
    if (std::cmp_not_equal(manifest.ranks[i].rank, i)) return false;
  }
  return true;
}

std::int64_t job_steps_of(const Manifest& manifest) {
  std::int64_t sum = 0;
  for (const RankEntry& entry : manifest.ranks) sum += entry.steps;
  return sum;
}

}  // namespace

std::optional<Resumed> Checkpointer::resume() {
  std::optional<Resumed> result;
  const auto take_folder_and_load = [&] {
    group_.meet("resume()");
    check_state();
    take_folder([&] { result = load(); });
  };
  together("Checkpointer::resume()", [&] { optimizer_.paused(take_folder_and_load); });
  return result;
}

std::optional<Resumed> Checkpointer::load() {
  std::int64_t newest = -1;
  transport::check_together(group_, [&] {
    if (!folder_) return;
    const std::vector<std::int64_t> sets = complete_sets(options_.folder);
    if (!sets.empty()) newest = sets.back();
  });
  newest = group_.all_gather(newest).front();
  if (newest < 0) {
    if (folder_) {
      log(LogLevel::kInfo, 0, "no complete checkpoint in '{}': this run starts from the beginning",
          options_.folder.string());
    }
    return std::nullopt;
  }
  Manifest manifest;
  check_set(newest, [&] { manifest = read_manifest(set_folder(newest)); });
  Resumed result{.set = set_name(newest),
                 .is_exact = !options_.resumes_from_mean && has_just(manifest, group_.size()),
                 .ranks = static_cast<int>(manifest.ranks.size())};
  result.is_exact ? load_exactly(newest, manifest) : load_mean(newest, manifest);
  saved_ = settled_ = newest;
  return result;
}

/// Runs a check of a set on all ranks; what it throws becomes an error of all that says what to do.
void Checkpointer::check_set(std::int64_t number, const std::function<void()>& check) {
  transport::check_together(group_, [&] {
    const std::string set = set_folder(number).string();
    try {
      check();
    } catch (const DamagedSet& error) {
      throw Error(
          fmt::format("The checkpoint '{}' is damaged. {} {}", set, error.what(), way_out(number)));
    } catch (const std::exception& error) {
      throw Error(fmt::format("The checkpoint '{}' cannot be resumed. {}", set, error.what()));
    }
  });
}

/// The same for what reads files: the ranks wait for each other however long it takes.
void Checkpointer::read_set(std::int64_t number, const std::function<void()>& read) {
  std::exception_ptr error;
  writer_.add(number, [&] {
    try {
      read();
    } catch (...) {
      error = std::current_exception();
    }
  });
  try {
    await_writers();
  } catch (...) {
    writer_.wait();  // the thread reads into what lies on the stacks of the callers
    throw;
  }
  check_set(number, [&] {
    if (error) std::rethrow_exception(error);
  });
}

std::string Checkpointer::way_out(std::int64_t number) const {
  std::vector<std::int64_t> sets = complete_sets(options_.folder);
  std::erase_if(sets, [&](std::int64_t other) { return other >= number; });
  const std::string older =
      sets.empty() ? "There is no older complete one: remove it to start from the beginning"
                   : fmt::format(
                         "The newest older complete one is '{}': remove the damaged one to "
                         "go on from there",
                         set_name(sets.back()));
  return older +
         ". If only files of some ranks are missing, the others' mean model can be resumed from "
         "(--resume-from-mean).";
}

model::StateDict Checkpointer::read_state(std::int64_t number, const RankRecord& record) {
  staging_.reserve(record.tensor_bytes);
  const SafetensorsContents contents =
      read_tensors(set_folder(number), record, {staging_.memory.get(), record.tensor_bytes});
  model::StateDict state{.tensors = {}, .values = record.values};
  for (const TensorInfo& tensor : contents.tensors) {
    std::byte* memory = staging_.memory.get() + (contents.data.data() - staging_.memory.get()) +
                        static_cast<std::ptrdiff_t>(tensor.offset_bytes);
    state.add(tensor.name, tensor_of(tensor, memory));
  }
  return state;
}

/// Checks a state against all that is here, and returns what writes it.
std::function<void()> Checkpointer::plan(const model::StateDict& state) {
  std::vector<std::function<void()>> writes;
  const auto read = [&](const std::string& prefix, const std::string& what, const auto& plan_part) {
    const model::StateDict part = state.part(prefix);
    model::StateReader saved(part, what);
    writes.push_back(plan_part(saved));
    saved.check_all_read();
  };
  read("module.", "The module that was saved",
       [&](model::StateReader& saved) { return plan_module_state(module_, saved); });
  writes.push_back(optimizer_.plan_load(state.part("optimizer.")));
  for (const auto& [name, part] : parts_) {
    read("program." + name + ".", fmt::format("'{}' of the program that was saved", name),
         part.plan);
  }
  read("run.", "The run that was saved", [&](model::StateReader& saved) -> std::function<void()> {
    const at::Tensor random = saved.tensor("random", random_state()).clone();
    const Before before{.steps = saved.value<std::int64_t>("steps_before"),
                        .job_steps = saved.value<std::int64_t>("job_steps_before"),
                        .number = saved.value<std::int64_t>("number_before")};
    return [this, random, before] {
      set_random_state(random);
      before_ = before;
    };
  });
  for (const auto& entry : state.part("program.").tensors) check_part(entry.name);
  for (const auto& entry : state.part("program.").values) check_part(entry.name);
  return [writes] {
    for (const auto& write : writes) write();
  };
}

/// What another program saved has no place here.
void Checkpointer::check_part(const std::string& entry) const {
  const bool is_known = std::ranges::any_of(
      parts_, [&](const auto& part) { return entry.starts_with(part.first + "."); });
  GOSSIP_CHECK(
      is_known,
      "It holds '{}' of the program that saved it, which this one does not have: resume it "
      "with that program.",
      entry);
}

void Checkpointer::load_exactly(std::int64_t number, const Manifest& manifest) {
  model::StateDict state;
  read_set(number, [&] {
    state = read_state(number, read_record(set_folder(number), manifest, group_.rank()));
  });
  std::function<void()> write;
  check_set(number, [&] { write = plan(state); });
  write();
  if (group_.rank() == 0) {
    log(LogLevel::kInfo, 0, "resumed from '{}': all goes on after step {}",
        set_folder(number).string(), steps());
  }
}

/// The ranks whose files are to be read, as rank 0 sees them.
std::vector<Rank> Checkpointer::ranks_present(std::int64_t number, const Manifest& manifest) const {
  std::string own;
  for (const RankEntry& entry : manifest.ranks) {
    const std::filesystem::path set = set_folder(number);
    const bool is_wanted =
        !options_.resumes_from_mean ||
        (may_be_there(record_file(set, entry.rank)) && may_be_there(tensor_file(set, entry.rank)));
    own += is_wanted ? '1' : '0';
  }
  const std::string seen = group_.all_gather(own).front();
  std::vector<Rank> present;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i] == '1') present.push_back(manifest.ranks[i].rank);
  }
  return present;
}

/// Each rank reads some of the files, one at a time, and adds them up in double precision.
void Checkpointer::load_mean(std::int64_t number, const Manifest& manifest) {
  const std::vector<Rank> present = ranks_present(number, manifest);
  const model::StateDict live = module_state(module_);
  std::vector<at::Tensor> sums;  // of floats; of other buffers those of the first rank
  for (const model::NamedTensor& entry : live.tensors) {
    const bool is_float = entry.tensor.is_floating_point();
    sums.push_back(
        at::zeros(entry.tensor.sizes(), is_float ? at::kDouble : entry.tensor.scalar_type()));
  }
  double weights = 0.0;
  const auto add = [&](Rank rank, bool is_first) {
    const RankRecord record = read_record(set_folder(number), manifest, rank);
    const model::StateDict state = read_state(number, record);
    const model::StateDict saved_module = state.part("module.");
    model::StateReader saved(saved_module, "The module that was saved");
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const at::Tensor tensor = saved.tensor(live.tensors[i].name, live.tensors[i].tensor);
      if (tensor.is_floating_point()) {
        sums[i].add_(tensor.to(at::kDouble), record.weight);
      } else if (is_first) {
        sums[i].copy_(tensor);
      }
    }
    saved.check_all_read();
    weights += record.weight;
  };
  read_set(number, [&] {
    if (present.empty()) throw DamagedSet("The files of all ranks are missing.");
    const auto size = static_cast<std::size_t>(group_.size());
    for (auto i = static_cast<std::size_t>(group_.rank()); i < present.size(); i += size) {
      add(present[i], i == 0);
    }
  });
  write_mean(live, sums, transport::mean_of(group_, weights));
  before_.job_steps = job_steps_of(manifest);
  before_.steps = before_.job_steps / group_.size();
  before_.number = number;
  if (group_.rank() == 0) {
    log(LogLevel::kInfo, 0,
        "resumed from '{}' by the mean model of {} of its {} ranks: {} ranks go on after step {} "
        "with a fresh optimizer",
        set_folder(number).string(), present.size(), manifest.ranks.size(), group_.size(), steps());
  }
}

void Checkpointer::write_mean(const model::StateDict& live, const std::vector<at::Tensor>& sums,
                              double mean_weight) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (sums[i].numel() == 0) continue;
    if (live.tensors[i].tensor.is_floating_point()) {
      transport::average_(group_, model::view_of(sums[i]));
      sums[i].div_(mean_weight);
    } else {
      group_.broadcast({static_cast<std::byte*>(sums[i].data_ptr()), sums[i].nbytes()}, 0);
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i) model::assign_(live.tensors[i].tensor, sums[i]);
}

}  // namespace gossip::checkpoint
