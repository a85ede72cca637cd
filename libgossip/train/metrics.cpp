// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <limits>
#include <system_error>

#include <nlohmann/json.hpp>

#include <libgossip/base/error.h>
#include <libgossip/train/metrics.h>

namespace gossip::train {
namespace {

// Keeps the order in which fields are added. NaN and infinity are dumped as null.
using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;
constexpr std::string_view kFilePrefix = "metrics.rank";
constexpr std::string_view kFileSuffix = ".jsonl";

std::string file_name(Rank rank) { return fmt::format("{}{}{}", kFilePrefix, rank, kFileSuffix); }

// The rank in the name of a metrics file; -1 when it is another file.
Rank rank_of(const std::string& name) {
  if (!name.starts_with(kFilePrefix) || !name.ends_with(kFileSuffix)) return -1;
  const char* first = name.data() + kFilePrefix.size();
  const char* last = name.data() + name.size() - kFileSuffix.size();
  Rank rank = -1;
  const auto [end, error] = std::from_chars(first, last, rank);
  return error == std::errc() && end == last ? rank : -1;
}

void remove_old_results(const std::filesystem::path& folder, int size, LineFile::Start start) {
  std::vector<std::filesystem::path> old = {folder / "result.json", folder / "result.json.tmp"};
  std::error_code error;
  if (start == LineFile::Start::kAfter) size = std::numeric_limits<int>::max();  // they stay
  for (const std::filesystem::path& path : paths_in(folder, error)) {
    if (rank_of(path.filename().string()) >= size) old.push_back(path);
  }
  GOSSIP_CHECK(!error, "Cannot see what an earlier run has left in the folder '{}': {}",
               folder.string(), error.message());
  for (const auto& path : old) {
    std::filesystem::remove(path, error);
    GOSSIP_CHECK(!error, "Cannot remove '{}' of an earlier run: {}", path.string(),
                 error.message());
  }
}

/// The file is this run's alone: the name may be a link to a file that is to stay, or one of its
/// names. A run that starts gets a new file, one that goes on a copy. Devices stay.
std::filesystem::path made_own(const std::filesystem::path& path, LineFile::Start start) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return path;
  if (start == LineFile::Start::kAnew) {
    std::filesystem::remove(path, error);  // what cannot be removed, opening it says
  } else if (std::filesystem::is_symlink(path, error) ||
             std::filesystem::hard_link_count(path, error) > 1) {
    replace_file(path, read_text(path));
  }
  return path;
}

void add(Json& json, const char* name, const std::optional<double>& value) {
  if (value) json[name] = *value;
}

void add(Json& json, const Totals& totals) {
  json["step"] = totals.step;
  json["samples"] = totals.samples;
  json["seconds"] = totals.seconds;
  json["gossip_rounds"] = totals.gossip_rounds;
  json["bytes_sent"] = totals.bytes_sent;
  json["bytes_received"] = totals.bytes_received;
  json["wait_seconds"] = totals.wait_seconds;
}

void add(Json& json, const StartRecord& start) {
  json["optimizer"] = start.optimizer;
  json["topology"] = start.topology;
  json["transport"] = start.transport;
  json["parameters"] = start.parameters;
}

void add(Json& json, const Fields& extra) {
  for (const Field& field : extra) {
    GOSSIP_CHECK(!json.contains(field.name), "The extra field '{}' has the name of another field",
                 field.name);
    std::visit([&](const auto& value) { json[field.name] = value; }, field.value);
  }
}

// Text that is not UTF-8 (a path, say) must not cost the line.
std::string dump(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::kRunning:
      return "running";
    case Status::kComplete:
      return "complete";
    case Status::kDiverged:
      return "diverged";
    case Status::kStopped:
      return "stopped";
    case Status::kFailed:
      return "failed";
  }
  throw Error(fmt::format("There is no status {}", static_cast<int>(status)));
}

MetricsWriter::MetricsWriter(std::filesystem::path folder, Rank rank, int size,
                             LineFile::Start start)
    : folder_((make_output_folder(folder), std::move(folder))),
      rank_(rank),
      size_(size),
      file_(made_own(folder_ / file_name(rank), start), start) {
  if (rank_ == 0) remove_old_results(folder_, size_, start);
}

void MetricsWriter::write_start(const StartRecord& record) {
  Json json = {{"event", "start"}, {"schema", kSchema}, {"rank", rank_}, {"size", size_}};
  add(json, record);
  json["status"] = to_string(Status::kRunning);
  add(json, record.extra);
  file_.append(dump(json));
}

void MetricsWriter::write_resume(const ResumeRecord& record) {
  Json json = {{"event", "resume"}, {"schema", kSchema}, {"rank", rank_}, {"size", size_}};
  add(json, record.totals);
  json["checkpoint"] = record.checkpoint;
  json["exact"] = record.is_exact;
  json["status"] = to_string(Status::kRunning);
  add(json, record.extra);
  file_.append(dump(json));
}

void MetricsWriter::write_step(const StepRecord& record) {
  Json json = {{"event", "step"}, {"rank", rank_}, {"epoch", record.epoch}};
  add(json, record.totals);
  json["loss"] = record.loss;
  add(json, "lr", record.lr);
  add(json, "images_per_second", record.images_per_second);
  add(json, "consensus_distance", record.consensus_distance);
  add(json, record.extra);
  file_.append(dump(json));
}

void MetricsWriter::write_epoch(const EpochRecord& record) {
  Json json = {{"event", "epoch"}, {"rank", rank_}, {"epoch", record.epoch}};
  add(json, record.totals);
  json["loss"] = record.loss;
  add(json, "lr", record.lr);
  add(json, "test_accuracy_mean_model", record.test_accuracy_mean_model);
  add(json, "test_accuracy_local", record.test_accuracy_local);
  add(json, "consensus_distance", record.consensus_distance);
  add(json, "images_per_second", record.images_per_second);
  json["status"] = to_string(record.status);
  add(json, record.extra);
  file_.append(dump(json));
}

void MetricsWriter::write_result(const Result& result) {
  GOSSIP_CHECK(rank_ == 0, "Only rank 0 writes result.json, not rank {}", rank_);
  Json json = {
      {"schema", kSchema}, {"status", to_string(result.status)}, {"rank", rank_}, {"size", size_}};
  add(json, result.start);
  json["epoch"] = result.epoch;
  add(json, result.totals);
  json["loss"] = result.loss;
  add(json, "lr", result.lr);
  add(json, "test_accuracy_mean_model", result.test_accuracy_mean_model);
  add(json, "test_accuracy_local", result.test_accuracy_local);
  add(json, "consensus_distance", result.consensus_distance);
  add(json, "images_per_second", result.images_per_second);
  add(json, result.start.extra);
  add(json, result.extra);
  replace_file(folder_ / "result.json", dump(json, 2));
}

}  // namespace gossip::train
