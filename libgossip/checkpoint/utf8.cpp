// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include <fmt/format.h>

#include <libgossip/checkpoint/utf8.h>

namespace gossip::checkpoint {
namespace {

constexpr std::string_view kMark = "%bytes:";

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U; }

/// Bytes of the character that `text` begins with; 0 when it is none.
std::size_t character_bytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return 1;
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return 0;
  std::uint32_t code = first & (0x7fU >> bytes);
  for (const char byte : text.substr(1, bytes - 1)) {
    if (!continues(byte)) return 0;
    code = code << 6U | (static_cast<unsigned char>(byte) & 0x3fU);
  }
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  const bool is_shortest = code >= (bytes == 2 ? 0x80U : bytes == 3 ? 0x800U : 0x10000U);
  return is_shortest && !is_surrogate && code <= 0x10ffff ? bytes : 0;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string utf8_of(std::string_view text) {
  if (is_utf8(text) && !text.starts_with(kMark)) return std::string(text);
  std::string result(kMark);
  for (const char byte : text) {
    if (byte >= ' ' && byte <= '~' && byte != '%') {
      result += byte;
    } else {
      result += fmt::format("%{:02x}", static_cast<unsigned char>(byte));
    }
  }
  return result;
}

std::string text_of(std::string_view utf8) {
  if (!utf8.starts_with(kMark)) return std::string(utf8);
  std::string result;
  for (std::size_t i = kMark.size(); i < utf8.size(); ++i) {
    if (utf8[i] != '%') {
      result += utf8[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = utf8.substr(i + 1, 2);
    const char* end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, value, 16);
    if (digits.size() != 2 || read.ec != std::errc() || read.ptr != end) return std::string(utf8);
    result += static_cast<char>(value);
    i += 2;
  }
  return result;
}

}  // namespace gossip::checkpoint
