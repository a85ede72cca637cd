// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string_view>
#include <system_error>
#include <utility>

#include <zlib.h>

#include <libgossip/base/file.h>
#include <libgossip/checkpoint/checkpoint_set.h>
#include <libgossip/checkpoint/ordered_entries.h>
#include <libgossip/checkpoint/utf8.h>

namespace gossip::checkpoint {
namespace {

constexpr std::int64_t kFormat = 1;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string dump(const Json& json) { return json.dump(1) + "\n"; }

/// JSON has no NaN and no infinity.
Json json_of(const Value& value) {
  if (const double* number = std::get_if<double>(&value); number && !std::isfinite(*number)) {
    return {{"double", std::isnan(*number) ? "nan" : *number > 0 ? "inf" : "-inf"}};
  }
  if (const auto* text = std::get_if<std::string>(&value)) return utf8_of(*text);
  return std::visit([](const auto& typed) { return Json(typed); }, value);
}

Value value_of(const Json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_string()) return text_of(json.get_ref<const std::string&>());
  return std::stod(json.at("double").get<std::string>());
}

/// What `read` makes of the JSON in `text`; all that does not fit is damage of the file.
template <class Read>
auto parse(const std::string& text, const std::filesystem::path& path, const Read& read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception& error) {
    throw DamagedSet(fmt::format("The file '{}' is damaged: {}.", path.string(), error.what()));
  } catch (const std::logic_error& error) {
    throw DamagedSet(fmt::format("The file '{}' is damaged: it has no number where one should be.",
                                 path.string()));
  }
}

void check_format(const Json& json, const std::filesystem::path& path) {
  const auto format = json.at("format").get<std::int64_t>();
  GOSSIP_CHECK(format <= kFormat,
               "The file '{}' has format {}, but this version of libgossip reads formats up to {}: "
               "it was written by a newer one, which is needed to read it.",
               path.string(), format, kFormat);
}

std::string read_whole(const std::filesystem::path& path) {
  try {
    return read_text(path);
  } catch (const Error& error) {
    throw DamagedSet(error.what());
  }
}

/// The checksum of a manifest is that of its text without the checksum.
Json with_checksum(Json json) {
  json["crc32"] = crc32_of(bytes_of(dump(json)));
  return json;
}

Json json_of(const RankRecord& record) {
  Json values = Json::object();
  for (const NamedValue& entry : record.values) values[utf8_of(entry.name)] = json_of(entry.value);
  return {{"format", kFormat},
          {"run", record.run},
          {"step", record.step},
          {"ranks", record.ranks},
          {"rank", record.rank},
          {"steps", record.steps},
          {"weight", record.weight},
          {"tensors", {{"bytes", record.tensor_bytes}, {"crc32", record.tensor_crc32}}},
          {"values", values}};
}

RankRecord record_of(const Json& json) {
  RankRecord record{.run = json.at("run").get<std::string>(),
                    .step = json.at("step").get<std::int64_t>(),
                    .ranks = json.at("ranks").get<int>(),
                    .rank = json.at("rank").get<Rank>(),
                    .steps = json.at("steps").get<std::int64_t>(),
                    .weight = json.at("weight").get<double>(),
                    .tensor_bytes = json.at("tensors").at("bytes").get<std::uint64_t>(),
                    .tensor_crc32 = json.at("tensors").at("crc32").get<std::uint32_t>()};
  for (const auto& [name, value] : json.at("values").items()) {
    record.values.push_back({text_of(name), value_of(value)});
  }
  return record;
}

Manifest manifest_of(const Json& json) {
  Manifest manifest{.run = json.at("run").get<std::string>(),
                    .step = json.at("step").get<std::int64_t>()};
  for (const Json& entry : json.at("ranks")) {
    manifest.ranks.push_back({.rank = entry.at("rank").get<Rank>(),
                              .steps = entry.at("steps").get<std::int64_t>(),
                              .weight = entry.at("weight").get<double>(),
                              .bytes = entry.at("bytes").get<std::uint64_t>(),
                              .crc32 = entry.at("crc32").get<std::uint32_t>()});
  }
  return manifest;
}

}  // namespace

std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before) {
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string set_name(std::int64_t step) { return fmt::format("step-{}", step); }

std::filesystem::path tensor_file(const std::filesystem::path& set, Rank rank) {
  return set / fmt::format("rank-{}.safetensors", rank);
}

std::filesystem::path record_file(const std::filesystem::path& set, Rank rank) {
  return set / fmt::format("rank-{}.json", rank);
}

std::filesystem::path manifest_file(const std::filesystem::path& set) {
  return set / "manifest.json";
}

void write_rank(const std::filesystem::path& set, RankRecord record,
                const std::vector<TensorInfo>& tensors, std::span<const std::byte> data) {
  remove_link(set);
  make_output_folder(set);
  sync_folder(set.parent_path());
  const std::string header = safetensors_header(
      tensors, {{"format", "pt"}, {"run", record.run}, {"step", std::to_string(record.step)}});
  record.tensor_bytes = header.size() + data.size();
  record.tensor_crc32 = crc32_of(data, crc32_of(bytes_of(header)));
  const std::array<std::string_view, 2> parts{
      header, {reinterpret_cast<const char*>(data.data()), data.size()}};
  replace_file(tensor_file(set, record.rank), parts);
  replace_file(record_file(set, record.rank), dump(json_of(record)));
}

void write_manifest(const std::filesystem::path& set, const std::string& run, std::int64_t step,
                    int ranks) {
  Json entries = Json::array();
  for (Rank rank = 0; rank < ranks; ++rank) {
    const std::filesystem::path path = record_file(set, rank);
    std::error_code error;
    GOSSIP_CHECK(std::filesystem::exists(path, error) &&
                     std::filesystem::exists(tensor_file(set, rank), error),
                 "There are no files of rank {} in '{}', though it has written them: the folder of "
                 "the checkpoints must be one that all ranks share.",
                 rank, set.string());
    const std::string text = read_text(path);
    const RankRecord record = parse(text, path, record_of);
    GOSSIP_CHECK(
        record.run == run && record.step == step && record.ranks == ranks && record.rank == rank,
        "The file '{}' was written by another run: two runs write into one folder. Give "
        "each a folder of its own.",
        path.string());
    entries.push_back({{"rank", rank},
                       {"steps", record.steps},
                       {"weight", record.weight},
                       {"bytes", text.size()},
                       {"crc32", crc32_of(bytes_of(text))}});
  }
  const Json json = {{"format", kFormat}, {"run", run}, {"step", step}, {"ranks", entries}};
  replace_file(manifest_file(set), dump(with_checksum(json)));
}

Manifest read_manifest(const std::filesystem::path& set) {
  const std::filesystem::path path = manifest_file(set);
  const auto read = [&](const Json& json) {
    Json unsigned_json = json;
    const auto saved = json.at("crc32").get<std::uint32_t>();
    unsigned_json.erase("crc32");
    if (saved != crc32_of(bytes_of(dump(unsigned_json)))) {
      throw DamagedSet(
          fmt::format("The file '{}' is damaged: its checksum is another one.", path.string()));
    }
    check_format(json, path);
    return manifest_of(json);
  };
  Manifest manifest = parse(read_whole(path), path, read);
  if (set.filename() != set_name(manifest.step)) {
    throw DamagedSet(fmt::format("The folder '{}' holds the set of step {}: it was renamed.",
                                 set.string(), manifest.step));
  }
  return manifest;
}

RankRecord read_record(const std::filesystem::path& set, const Manifest& manifest, Rank rank) {
  const auto entry = std::ranges::find(manifest.ranks, rank, &RankEntry::rank);
  GOSSIP_CHECK(entry != manifest.ranks.end(), "The set '{}' has no rank {}.", set.string(), rank);
  const std::filesystem::path path = record_file(set, rank);
  const std::string text = read_whole(path);
  if (text.size() != entry->bytes || crc32_of(bytes_of(text)) != entry->crc32) {
    throw DamagedSet(fmt::format(
        "The file '{}' is damaged: it has {} bytes with checksum {:08x}, but was written with {} "
        "and {:08x}.",
        path.string(), text.size(), crc32_of(bytes_of(text)), entry->bytes, entry->crc32));
  }
  return parse(text, path, [&](const Json& json) {
    check_format(json, path);
    return record_of(json);
  });
}

SafetensorsContents read_tensors(const std::filesystem::path& set, const RankRecord& record,
                                 std::span<std::byte> memory) {
  const std::filesystem::path path = tensor_file(set, record.rank);
  try {
    read_bytes(path, memory);
    const std::uint32_t crc32 = crc32_of(memory);
    GOSSIP_CHECK(
        crc32 == record.tensor_crc32,
        "The file '{}' is damaged: its checksum is {:08x}, but it was written with {:08x}.",
        path.string(), crc32, record.tensor_crc32);
    return read_safetensors(memory, path.string());
  } catch (const Error& error) {
    throw DamagedSet(error.what());
  }
}

}  // namespace gossip::checkpoint
