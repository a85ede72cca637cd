// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstdlib>

#include <libgossip/base/variables.h>

namespace gossip {

std::optional<std::string> environment_variable(const std::string& name) {
  const char* text = std::getenv(name.c_str());
  return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<int> number_in(const Variables& variables, const std::string& name) {
  const std::optional<std::string> text = variables(name);
  if (!text) return std::nullopt;
  int value = 0;
  const char* end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, value);
  return error == std::errc() && rest == end ? std::optional<int>(value) : std::nullopt;
}

}  // namespace gossip
