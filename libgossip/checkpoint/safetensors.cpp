// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/checkpoint/ordered_entries.h>
#include <libgossip/checkpoint/safetensors.h>
#include <libgossip/checkpoint/utf8.h>

namespace gossip::checkpoint {
namespace {

constexpr const char* kMetadata = "__metadata__";
constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kAlignment = 64;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // as other readers
constexpr std::uint64_t kMostElements = std::uint64_t{1} << 62U;

constexpr std::array kDtypes{
    std::pair{"F64", 8},     std::pair{"F32", 4},     std::pair{"F16", 2}, std::pair{"BF16", 2},
    std::pair{"F8_E4M3", 1}, std::pair{"F8_E5M2", 1}, std::pair{"C64", 8}, std::pair{"I64", 8},
    std::pair{"I32", 4},     std::pair{"I16", 2},     std::pair{"I8", 1},  std::pair{"U64", 8},
    std::pair{"U32", 4},     std::pair{"U16", 2},     std::pair{"U8", 1},  std::pair{"BOOL", 1}};

/// Little-endian, whatever the machine.
std::string length_text(std::uint64_t length) {
  std::string text;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    text.push_back(static_cast<char>((length >> (8 * i)) & 0xffU));
  }
  return text;
}

std::uint64_t read_length(std::span<const std::byte> file) {
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  }
  return length;
}

[[noreturn]] void refuse(std::string_view file, const std::string& why) {
  throw Error(fmt::format("The file '{}' is not a sound safetensors file: {}.", file, why));
}

void require(bool holds, std::string_view file, const std::string& why) {
  if (!holds) refuse(file, why);
}

Json parse(std::string_view text, std::string_view file) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    refuse(file, fmt::format("its header is not JSON ({})", error.what()));
  }
}

/// A number of a shape or an offset.
std::uint64_t read_count(const Json& json, std::string_view file, std::string_view name) {
  require(json.is_number_unsigned(), file,
          fmt::format("a size or an offset of the tensor '{}' is not a whole number", name));
  return json.get<std::uint64_t>();
}

std::size_t bytes_of_shape(const std::vector<std::int64_t>& shape, std::size_t element,
                           std::string_view file, std::string_view name) {
  std::size_t bytes = element;
  for (const std::int64_t size : shape) {
    require(!__builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes), file,
            fmt::format("the tensor '{}' is too large for any memory", name));
  }
  return bytes;
}

TensorInfo read_tensor(const std::string& name, const Json& json, std::size_t data_bytes,
                       std::string_view file) {
  require(
      json.is_object() && json.size() == 3 && json.contains("dtype") && json.contains("shape") &&
          json.contains("data_offsets") && json["dtype"].is_string() && json["shape"].is_array() &&
          json["data_offsets"].is_array() && json["data_offsets"].size() == 2,
      file, fmt::format("the entry of the tensor '{}' is not dtype, shape and data_offsets", name));
  TensorInfo tensor{.name = name, .dtype = json["dtype"].get<std::string>()};
  const std::size_t element = dtype_bytes(tensor.dtype);
  require(element > 0, file,
          fmt::format("the tensor '{}' has the unknown dtype '{}'", name, tensor.dtype));
  for (const Json& size : json["shape"]) {
    const std::uint64_t value = read_count(size, file, name);
    require(value <= kMostElements, file,
            fmt::format("the tensor '{}' is too large for any memory", name));
    tensor.shape.push_back(static_cast<std::int64_t>(value));
  }
  const std::uint64_t begin = read_count(json["data_offsets"][0], file, name);
  const std::uint64_t end = read_count(json["data_offsets"][1], file, name);
  require(
      begin <= end && end <= data_bytes, file,
      fmt::format("the tensor '{}' lies at {} to {} of {} bytes", name, begin, end, data_bytes));
  tensor.offset_bytes = begin;
  tensor.bytes = end - begin;
  require(bytes_of_shape(tensor.shape, element, file, name) == tensor.bytes, file,
          fmt::format("the shape of the tensor '{}' does not go with its {} bytes", name,
                      tensor.bytes));
  return tensor;
}

/// Of tensors in the order of their places.
void check_cover(const std::vector<TensorInfo>& tensors, std::size_t data_bytes,
                 std::string_view file) {
  std::size_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    require(tensor.offset_bytes == end, file,
            fmt::format("the tensor '{}' {} at byte {}", tensor.name,
                        tensor.offset_bytes < end ? "overlaps another one" : "leaves a hole", end));
    end += tensor.bytes;
  }
  require(end == data_bytes, file, fmt::format("its tensors take {} of {} bytes", end, data_bytes));
}

std::string as_json(std::string_view text) { return Json(utf8_of(text)).dump(); }

}  // namespace

std::size_t dtype_bytes(std::string_view dtype) {
  for (const auto& [name, bytes] : kDtypes) {
    if (dtype == name) return static_cast<std::size_t>(bytes);
  }
  return 0;
}

std::size_t place(std::vector<TensorInfo>& tensors) {
  std::ranges::stable_sort(tensors, std::greater(),
                           [](const TensorInfo& tensor) { return dtype_bytes(tensor.dtype); });
  std::size_t end = 0;
  std::unordered_set<std::string_view> names;
  for (TensorInfo& tensor : tensors) {
    GOSSIP_CHECK(names.insert(tensor.name).second,
                 "Two tensors have the name '{}': only one of them could be saved.", tensor.name);
    const std::size_t element = dtype_bytes(tensor.dtype);
    GOSSIP_CHECK(element > 0, "The tensor '{}' has the dtype '{}', which cannot be saved.",
                 tensor.name, tensor.dtype);
    tensor.offset_bytes = end;
    tensor.bytes = bytes_of_shape(tensor.shape, element, "", tensor.name);
    end += tensor.bytes;
  }
  return end;
}

std::string safetensors_header(const std::vector<TensorInfo>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  std::string text = fmt::format("{{\"{}\":{{", kMetadata);
  const char* comma = "";
  for (const auto& [name, meaning] : metadata) {
    text += fmt::format("{}{}:{}", std::exchange(comma, ","), as_json(name), as_json(meaning));
  }
  text += '}';
  for (const TensorInfo& tensor : tensors) {
    text += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        as_json(tensor.name), tensor.dtype, fmt::join(tensor.shape, ","),
                        tensor.offset_bytes, tensor.offset_bytes + tensor.bytes);
  }
  text += '}';
  GOSSIP_CHECK(text.size() + kAlignment <= kMostHeaderBytes,
               "The names and shapes of {} tensors take {} bytes, but a safetensors file holds at "
               "most {}: fewer tensors, or shorter names.",
               tensors.size(), text.size(), kMostHeaderBytes);
  text.resize(
      (text.size() + kLengthBytes + kAlignment - 1) / kAlignment * kAlignment - kLengthBytes, ' ');
  return length_text(text.size()) + text;
}

SafetensorsContents read_safetensors(std::span<const std::byte> file, std::string_view name) {
  require(file.size() >= kLengthBytes, name, fmt::format("it has {} bytes only", file.size()));
  const std::uint64_t length = read_length(file);
  require(length <= kMostHeaderBytes && length <= file.size() - kLengthBytes, name,
          fmt::format("its header would have {} of {} bytes", length, file.size()));
  const auto header = file.subspan(kLengthBytes, length);
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  const Json json = parse(text, name);
  require(json.is_object(), name, "its header is not an object");
  SafetensorsContents contents{.data = file.subspan(kLengthBytes + length)};
  std::unordered_set<std::string> names;
  for (const auto& [key, value] : json.items()) {
    const bool is_new = names.insert(text_of(key)).second;
    require(is_new, name, fmt::format("it has two entries '{}'", text_of(key)));
    if (key != kMetadata) {
      contents.tensors.push_back(read_tensor(text_of(key), value, contents.data.size(), name));
      continue;
    }
    require(value.is_object(), name, "its metadata are not an object");
    for (const auto& [entry, meaning] : value.items()) {
      require(meaning.is_string(), name, fmt::format("its metadata '{}' is not a text", entry));
      contents.metadata[text_of(entry)] = text_of(meaning.get_ref<const std::string&>());
    }
  }
  std::ranges::sort(contents.tensors, {},
                    [](const TensorInfo& t) { return std::pair(t.offset_bytes, t.bytes); });
  check_cover(contents.tensors, contents.data.size(), name);
  return contents;
}

}  // namespace gossip::checkpoint
