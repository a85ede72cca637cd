// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Small IDX files for tests.

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <zlib.h>

namespace gossip::test {

/// The bytes of an IDX file: the magic number, the dimensions, then the data.
inline std::string idx_bytes(std::uint32_t magic, const std::vector<std::uint32_t>& dimensions,
                             const std::vector<std::uint8_t>& data) {
  std::string bytes;
  const auto add = [&bytes](std::uint32_t number) {
    for (const unsigned shift : {24U, 16U, 8U, 0U})
      bytes.push_back(static_cast<char>(number >> shift & 0xffU));
  };
  add(magic);
  for (const std::uint32_t dimension : dimensions) add(dimension);
  bytes.append(data.begin(), data.end());
  return bytes;
}

inline void write_packed(const std::filesystem::path& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  if (file == nullptr) throw std::runtime_error("cannot write " + path.string());
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

/// `count` images of `side` x `side` pixels, packed; pixel p of all images has the value p mod 256.
inline void write_images(const std::filesystem::path& path, std::uint32_t count,
                         std::uint32_t side = 28) {
  std::vector<std::uint8_t> pixels(std::size_t{count} * side * side);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i % 256);
  write_packed(path, idx_bytes(0x803, {count, side, side}, pixels));
}

inline void write_labels(const std::filesystem::path& path,
                         const std::vector<std::uint8_t>& labels) {
  write_packed(path, idx_bytes(0x801, {static_cast<std::uint32_t>(labels.size())}, labels));
}

}  // namespace gossip::test
