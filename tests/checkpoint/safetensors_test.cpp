// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/checkpoint/safetensors.h>
#include <libgossip/checkpoint/utf8.h>

#include "support/expect_throw.h"

namespace gossip::checkpoint {
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
  std::vector<TensorInfo> tensors{{.name = "z", .dtype = "C128", .shape = {1}}};
  test::expect_throw<Error>([&] { place(tensors); }, {"'z'", "'C128'"});
}

TEST(Safetensors, TwoTensorsOfOneNameCannotBeWritten) {
  std::vector<TensorInfo> tensors{{.name = "z", .dtype = "F32", .shape = {1}},
                                  {.name = "z", .dtype = "F64", .shape = {1}}};
  test::expect_throw<Error>([&] { place(tensors); }, {"Two tensors", "'z'"});
}

TEST(Safetensors, AHeaderThatNoReaderTakesCannotBeWritten) {
  std::vector<TensorInfo> tensors{
      {.name = std::string(100'000'000, 'n'), .dtype = "F32", .shape = {1}}};
  place(tensors);
  test::expect_throw<Error>([&] { static_cast<void>(safetensors_header(tensors, {})); },
                            {"1 tensors", "at most 100000000"});
}

TEST(Safetensors, NamesMayHoldAnyBytes) {
  std::vector<TensorInfo> tensors;
  for (const std::string name : {"", "a/b", "two\nlines", "\"quoted\"", "caf\xc3\xa9", "caf\xe9",
                                 "%bytes:caf%e9", "\xff%41", "%bytes:", "__metadata", "100%"}) {
    tensors.push_back({.name = name, .dtype = "F32", .shape = {1}});
  }
  tensors.push_back({.name = std::string("nul\0\xfe", 5), .dtype = "F32", .shape = {1}});
  const std::size_t bytes = place(tensors);
  const std::string file =
      safetensors_header(tensors, {{"\xe9", "\xfc"}}) + std::string(bytes, 'd');
  const SafetensorsContents contents = read_safetensors(bytes_of(file), "name");
  ASSERT_EQ(contents.tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(contents.tensors[i].name, tensors[i].name);
  }
  EXPECT_EQ(contents.metadata.at("\xe9"), "\xfc");
}

TEST(Utf8, TellsTextsThatAreNot) {
  for (const char* text : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(text)) << text;
    EXPECT_EQ(utf8_of(text), text);
  }
  for (const char* text :
       {"\x80", "\xc1\xbf", "\xc2", "\xc2\xc2", "\xe0\x9f\xbf", "\xe0\xa0", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5", "\xff"}) {
    EXPECT_FALSE(is_utf8(text)) << text;
    EXPECT_TRUE(is_utf8(utf8_of(text)));
    EXPECT_EQ(text_of(utf8_of(text)), text);
  }
  EXPECT_EQ(utf8_of("caf\xe9 50%"), "%bytes:caf%e9 50%25");
  EXPECT_EQ(text_of("%bytes:%zz"), "%bytes:%zz");
  EXPECT_EQ(text_of("%bytes:%e"), "%bytes:%e");
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
}  // namespace gossip::checkpoint
