// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>

#include <libgossip/base/numbers.h>
#include <libgossip/base/variables.h>

namespace gossip {
namespace {

/// What Linux keeps of the environment that a process is started with: "NAME=text", each with a
/// zero behind it.
std::map<std::string, std::string> initial_variables() {
  std::ifstream file("/proc/self/environ", std::ios::binary);
  std::map<std::string, std::string> result;
  for (std::string entry; std::getline(file, entry, '\0');) {
    const std::size_t equals = entry.find('=');
    if (equals != std::string::npos) {
      result.insert({entry.substr(0, equals), entry.substr(equals + 1)});
    }
  }
  return result;
}

}  // namespace

std::optional<std::string> environment_variable(const std::string& name) {
  const char* text = std::getenv(name.c_str());
  return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<std::string> initial_variable(const std::string& name) {
  static const std::map<std::string, std::string> kInitial = initial_variables();
  if (kInitial.empty()) return environment_variable(name);
  const auto found = kInitial.find(name);
  return found != kInitial.end() ? std::optional(found->second) : std::nullopt;
}

std::optional<int> number_in(const Variables& variables, const std::string& name) {
  const std::optional<std::string> text = variables(name);
  if (!text || text->empty()) return std::nullopt;
  return number_within<int>("The environment variable " + name, *text, 0,
                            std::numeric_limits<int>::max());
}

}  // namespace gossip
