// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/base/suggest.h>
#include <libgossip/policy/factory.h>

namespace gossip::policy {
namespace {

/// A text, split at its colons.
struct Request {
  std::string_view text;
  std::string_view name;
  std::vector<std::string_view> parameters = {};
};

Request split(std::string_view text) {
  std::size_t colon = text.find(':');
  Request request{.text = text, .name = text.substr(0, colon)};
  while (colon != std::string_view::npos) {
    const std::size_t begin = colon + 1;
    colon = text.find(':', begin);
    request.parameters.push_back(text.substr(begin, colon - begin));
  }
  return request;
}

/// `example`: what a text of this policy looks like.
void check_parameters(const Request& request, std::size_t least, std::size_t most,
                      std::string_view example) {
  const std::size_t given = request.parameters.size();
  GOSSIP_CHECK(given >= least && given <= most, "The wait policy '{}' must look like {}.",
               request.text, example);
}

template <class T>
T whole_number(const Request& request, std::size_t index, std::string_view what, T least) {
  return number_within<T>(fmt::format("The {} of the wait policy '{}'", what, request.text),
                          request.parameters[index], least, std::numeric_limits<T>::max());
}

std::unique_ptr<WaitPolicy> make_all(const Request& request, double /*cap*/) {
  check_parameters(request, 0, 0, "all");
  return std::make_unique<All>();
}

std::unique_ptr<WaitPolicy> make_fastest(const Request& request, double /*cap*/) {
  check_parameters(request, 1, 1, "fastest:2, with the number of neighbors to wait for");
  return std::make_unique<Fastest>(whole_number<int>(request, 0, "number of neighbors", 1));
}

std::unique_ptr<WaitPolicy> make_deadline(const Request& request, double /*cap*/) {
  check_parameters(request, 1, 2,
                   "deadline:0.3, with the seconds, or deadline:0.3:2, with a quorum");
  const std::optional<double> seconds = parse_number<double>(request.parameters[0]);
  GOSSIP_CHECK(seconds && *seconds >= 0.0,
               "The seconds of the wait policy '{}' are '{}': they must be a number from 0 on, "
               "such as deadline:0.3.",
               request.text, request.parameters[0]);
  const int quorum = request.parameters.size() > 1 ? whole_number<int>(request, 1, "quorum", 0) : 0;
  return std::make_unique<Deadline>(*seconds, quorum);
}

std::unique_ptr<WaitPolicy> make_adaptive(const Request& request, double cap) {
  check_parameters(request, 0, 0, "adaptive");
  return std::make_unique<AdaptiveDeadline>(AdaptiveDeadlineOptions{.cap = cap});
}

std::unique_ptr<WaitPolicy> make_stale(const Request& request, double /*cap*/) {
  check_parameters(request, 0, 1, "stale:4, with the number of rounds, or stale");
  if (request.parameters.empty()) return std::make_unique<BoundedStaleness>();
  return std::make_unique<BoundedStaleness>(
      whole_number<std::int64_t>(request, 0, "number of rounds", 0));
}

struct Name {
  std::string_view name;
  std::unique_ptr<WaitPolicy> (*make)(const Request& request, double cap);
};

constexpr std::array kNames{Name{"all", make_all}, Name{"fastest", make_fastest},
                            Name{"deadline", make_deadline}, Name{"adaptive", make_adaptive},
                            Name{"stale", make_stale}};

}  // namespace

std::unique_ptr<WaitPolicy> make_wait_policy(std::string_view text, double cap) {
  const Request request = split(text);
  std::vector<std::string> known;
  for (const Name& name : kNames) {
    if (name.name == request.name) return name.make(request, cap);
    known.emplace_back(name.name);
  }
  throw Error(unknown_name("wait policy", request.name, known));
}

}  // namespace gossip::policy
