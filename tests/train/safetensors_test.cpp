// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/train/safetensors.h>

#include "support/expect_throw.h"

namespace gossip::train {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A file with this header and as many bytes of data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
  return length + header + std::string(data_bytes, 'x');
}

void expect_refused(const std::string& file, const std::vector<std::string>& parts) {
  std::vector<std::string> all = parts;
  all.emplace_back("'name.safetensors' is not a sound safetensors file");
  test::expect_throw<Error>(
      [&] { static_cast<void>(read_safetensors(bytes_of(file), "name.safetensors")); }, all);
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape +
         "],\"data_offsets\":[" + offsets + "]}";
}

TEST(Safetensors, AFileIsReadAsItWasWritten) {
  std::vector<TensorInfo> tensors{{.name = "flags", .dtype = "BOOL", .shape = {3}},
                                  {.name = "layer.weight", .dtype = "F32", .shape = {2, 3}},
                                  {.name = "scalar", .dtype = "F64", .shape = {}},
                                  {.name = "nothing", .dtype = "F32", .shape = {0, 5}},
                                  {.name = "count", .dtype = "I64", .shape = {1}}};
  const std::size_t bytes = place(tensors);
  EXPECT_EQ(bytes, 8U + 8U + 24U + 3U);
  for (const TensorInfo& tensor : tensors) {
    EXPECT_EQ(tensor.offset_bytes % dtype_bytes(tensor.dtype), 0U) << tensor.name;
  }
  const std::string header = safetensors_header(tensors, {{"run", "a \"quoted\" one"}});
  EXPECT_EQ(header.size() % 64, 0U);
  const std::string file = header + std::string(bytes, 'd');
  const SafetensorsContents contents = read_safetensors(bytes_of(file), "name");

  EXPECT_EQ(contents.metadata.at("run"), "a \"quoted\" one");
  ASSERT_EQ(contents.tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(contents.tensors[i].name, tensors[i].name);
    EXPECT_EQ(contents.tensors[i].dtype, tensors[i].dtype);
    EXPECT_EQ(contents.tensors[i].shape, tensors[i].shape);
    EXPECT_EQ(contents.tensors[i].offset_bytes, tensors[i].offset_bytes);
    EXPECT_EQ(contents.tensors[i].bytes, tensors[i].bytes);
  }
  EXPECT_EQ(contents.data.size(), bytes);
  EXPECT_EQ(static_cast<char>(contents.data.front()), 'd');
}

TEST(Safetensors, TheBytesAreThoseOfTheFormat) {
  std::vector<TensorInfo> tensors{{.name = "a", .dtype = "F32", .shape = {1}}};
  place(tensors);
  const std::string header = safetensors_header(tensors, {});
  const std::string expected =
      R"({"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  EXPECT_EQ(header.substr(8, expected.size()), expected);
  EXPECT_EQ(header.substr(0, 8), std::string("\x78\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(header.substr(8 + expected.size()), std::string(120 - expected.size(), ' '));
}

TEST(Safetensors, AnUnknownTypeCannotBeWritten) {
  std::vector<TensorInfo> tensors{{.name = "z", .dtype = "C64", .shape = {1}}};
  test::expect_throw<Error>([&] { place(tensors); }, {"'z'", "'C64'"});
}

TEST(Safetensors, RefusesALengthThatCannotBe) {
  expect_refused("", {"0 bytes"});
  expect_refused("1234567", {"7 bytes"});
  expect_refused(std::string("\x10\0\0\0\0\0\0\0{}", 10), {"16 of 10 bytes"});
  expect_refused(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), {"18446744073709551615"});
  expect_refused(std::string("\xfd\xff\xff\xff\xff\xff\xff\xff{}", 10), {"18446744073709551613"});
}

TEST(Safetensors, RefusesAHeaderThatIsNotOne) {
  expect_refused(file_of("", 0), {"not JSON"});
  expect_refused(file_of("{", 0), {"not JSON"});
  expect_refused(file_of("[]", 0), {"not an object"});
  expect_refused(file_of("{\"a\":1}", 0), {"'a'", "dtype, shape and data_offsets"});
  expect_refused(file_of("{\"__metadata__\":[]}", 0), {"metadata"});
  expect_refused(file_of("{\"__metadata__\":{\"a\":1}}", 0), {"metadata 'a'"});
  expect_refused(file_of(std::string(100000, '['), 0), {"not JSON"});
  expect_refused(
      file_of("{" + entry("a", "F32", "1", "0,4") + "," + entry("a", "F32", "1", "0,4") + "}", 4),
      {"two entries 'a'"});
}

TEST(Safetensors, RefusesATensorThatCannotBe) {
  const auto refused = [](const std::string& dtype, const std::string& shape,
                          const std::string& offsets, const std::string& why) {
    expect_refused(file_of("{" + entry("a", dtype, shape, offsets) + "}", 8), {"'a'", why});
  };
  refused("F31", "2", "0,8", "'F31'");
  refused("F32", "2", "0,12", "0 to 12 of 8 bytes");
  refused("F32", "2", "8,0", "8 to 0 of 8 bytes");
  refused("F32", "3", "0,8", "does not go with its 8 bytes");
  refused("F32", "-2", "0,8", "not a whole number");
  refused("F32", "2.0", "0,8", "not a whole number");
  refused("F32", "2", "-8,8", "not a whole number");
  refused("F32", "4611686018427387904,4", "0,8", "too large");
  refused("F32", "9223372036854775809", "0,8", "too large");
  refused("F32", "2", "0,8,8", "dtype, shape and data_offsets");
  refused("F32", "2", "0,18446744073709551616", "not a whole number");
}

TEST(Safetensors, RefusesHolesAndOverlaps) {
  const auto two = [](const std::string& first, const std::string& second) {
    return file_of("{" + entry("a", "F32", "1", first) + "," + entry("b", "F32", "1", second) + "}",
                   8);
  };
  EXPECT_EQ(read_safetensors(bytes_of(two("4,8", "0,4")), "name").tensors.size(), 2U);
  expect_refused(two("0,4", "0,4"), {"'b'", "overlaps"});
  expect_refused(two("0,4", "2,6"), {"'b'", "overlaps"});
  expect_refused(two("4,8", "4,8"), {"leaves a hole at byte 0"});
  expect_refused(file_of("{" + entry("a", "F32", "1", "0,4") + "}", 8), {"4 of 8 bytes"});
  expect_refused(file_of("{}", 1), {"0 of 1 bytes"});
}

}  // namespace
}  // namespace gossip::train
