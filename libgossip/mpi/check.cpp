// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string_view>

#include <mpi.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/check.h>

namespace gossip::mpi::detail {

void check(int code, const char* call, std::source_location where) {
  if (code == MPI_SUCCESS) return;
  const Serial serial;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
  const std::string_view reason(text.data(), static_cast<std::size_t>(length));
  throw MpiError(code, fmt::format("{}:{}: {} failed: {}", where.file_name(), where.line(), call,
                                   reason.empty() ? "unknown error" : reason));
}

}  // namespace gossip::mpi::detail
