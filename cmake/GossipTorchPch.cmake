# SPDX-License-Identifier: Apache-2.0
include_guard(GLOBAL)

# gossip_use_torch_pch(<test program>)
#
# Compiles the target with one precompiled torch/torch.h, shared by all programs that ask for it:
# the header alone costs a compiler some 15 seconds a file. Without optimization, since what the
# programs wait for is the library: a file then costs half.
function(gossip_use_torch_pch target)
  if(NOT TARGET gossip_torch_pch)
    set(source "${PROJECT_BINARY_DIR}/gossip_torch_pch.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "// Only carries the precompiled header.\n" @ONLY)
    add_library(gossip_torch_pch OBJECT EXCLUDE_FROM_ALL "${source}")
    target_link_libraries(gossip_torch_pch PRIVATE gossip::gossip gossip_warnings)
    target_compile_options(gossip_torch_pch PRIVATE -O0)
    set_target_properties(gossip_torch_pch PROPERTIES CXX_EXTENSIONS OFF)
    target_precompile_headers(gossip_torch_pch PRIVATE <torch/torch.h>)
  endif()
  # GCC takes a precompiled header only under the options it was made with.
  target_compile_options(${target} PRIVATE -O0)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_precompile_headers(${target} REUSE_FROM gossip_torch_pch)
endfunction()
