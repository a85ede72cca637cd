# SPDX-License-Identifier: Apache-2.0
# The warnings that the project's own code is compiled with; linked PRIVATE, never exported.
# GCC 12 warns of overlapping copies inside std::string's operator+ (GCC bug 105651).
add_library(gossip_warnings INTERFACE)
set(old_gcc "$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>")
target_compile_options(
  gossip_warnings
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
            $<$<CXX_COMPILER_ID:GNU>:-Wuseless-cast>
            $<$<AND:${old_gcc}>:-Wno-restrict>
            $<$<BOOL:${GOSSIP_WERROR}>:-Werror>)
