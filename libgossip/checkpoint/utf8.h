// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Texts from outside (names, paths, host names) in JSON, which holds UTF-8 only.

#include <string>
#include <string_view>

namespace gossip::checkpoint {

/// Whether `text` is UTF-8: the shortest encoding of each character, and no surrogates.
[[nodiscard]] bool is_utf8(std::string_view text);

/// `text` as it is if it is UTF-8; else "%bytes:" and the text, in which each byte that is not
/// printable ASCII, and each '%', is a '%' and two hexadecimal digits. A text that begins with
/// "%bytes:" by itself is written so, too: text_of() gives all texts back.
[[nodiscard]] std::string utf8_of(std::string_view text);

/// The text that utf8_of() was given. What that does not give comes back as it is.
[[nodiscard]] std::string text_of(std::string_view utf8);

}  // namespace gossip::checkpoint
