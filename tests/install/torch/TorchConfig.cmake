# SPDX-License-Identifier: Apache-2.0
# What LibTorch's own package does for a program, without the toolkit that it demands of a CUDA
# wheel: a target with LibTorch's include folders, an fmt among them, and its libraries. LIBTORCH is
# its folder.
set(TORCH_INSTALL_PREFIX "${LIBTORCH}")
set(TORCH_LIBRARIES torch "${LIBTORCH}/lib/libc10.so")
if(NOT TARGET torch)
  add_library(torch SHARED IMPORTED)
  set_target_properties(
    torch
    PROPERTIES IMPORTED_LOCATION "${LIBTORCH}/lib/libtorch_cpu.so"
               INTERFACE_INCLUDE_DIRECTORIES
               "${LIBTORCH}/include;${LIBTORCH}/include/torch/csrc/api/include")
endif()
set(Torch_FOUND TRUE)
