// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>

#include <libgossip/base/error.h>

namespace gossip::detail {

void assert_failed(const char* condition, const std::string& message, std::source_location where) {
  fmt::print(stderr, "{}:{}: broken invariant `{}`: {}\n", where.file_name(), where.line(),
             condition, message);
  std::fflush(stderr);
  std::abort();
}

}  // namespace gossip::detail
