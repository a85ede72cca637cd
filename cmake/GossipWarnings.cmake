# SPDX-License-Identifier: Apache-2.0
# The warnings that the project's own code is compiled with; linked PRIVATE, never exported.
add_library(gossip_warnings INTERFACE)
target_compile_options(
  gossip_warnings
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
            $<$<CXX_COMPILER_ID:GNU>:-Wuseless-cast> $<$<BOOL:${GOSSIP_WERROR}>:-Werror>)
