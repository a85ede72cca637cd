# SPDX-License-Identifier: Apache-2.0
#[[
Finds LibTorch for CPU programs and defines LibTorch::LibTorch.

Looks in LibTorch_ROOT (the folder that holds lib/ and include/; CMake variable or environment
variable), then where scripts/setup installs it, then in the torch package of python3.
find_package(Torch) is not used: for a CUDA wheel it demands a toolkit, enables the CUDA language
and rewrites CMAKE_CUDA_FLAGS.
]]
set(_libtorch_hints "${LibTorch_ROOT}" "$ENV{LibTorch_ROOT}")
if(LibTorch_ROOT OR DEFINED ENV{LibTorch_ROOT} OR LibTorch_CPU_LIBRARY)
  # Found, or to be found nowhere else.
elseif(EXISTS "${CMAKE_CURRENT_LIST_DIR}/../.deps/libtorch/.complete")
  get_filename_component(_libtorch_deps "${CMAKE_CURRENT_LIST_DIR}/../.deps/libtorch/torch"
                         ABSOLUTE)
  list(APPEND _libtorch_hints "${_libtorch_deps}")
else()
  execute_process(
    COMMAND
      python3 -c
      "import importlib.util as u, os; s = u.find_spec('torch'); \
print(os.path.dirname(s.origin) if s else '')"
    OUTPUT_VARIABLE _libtorch_python
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  list(APPEND _libtorch_hints "${_libtorch_python}")
endif()

find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_libtorch_hints} PATH_SUFFIXES lib)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_libtorch_hints} PATH_SUFFIXES lib)
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS ${_libtorch_hints} PATH_SUFFIXES include)
mark_as_advanced(LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR)

if(LibTorch_INCLUDE_DIR AND EXISTS "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  set(_libtorch_version_file "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
elseif(LibTorch_INCLUDE_DIR)
  set(_libtorch_version_file "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
endif()
if(_libtorch_version_file AND EXISTS "${_libtorch_version_file}")
  file(STRINGS "${_libtorch_version_file}" _libtorch_lines
       REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
  string(REGEX MATCHALL "[0-9]+" _libtorch_numbers "${_libtorch_lines}")
  list(JOIN _libtorch_numbers "." LibTorch_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE
    "Set LibTorch_ROOT to the folder of lib/libtorch_cpu.so (scripts/setup makes one in .deps/)")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  set(_libtorch_include "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}")
  add_library(LibTorch::LibTorch SHARED IMPORTED)
  set_target_properties(LibTorch::LibTorch PROPERTIES IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}")
  # Behind the system's directories: the wheel ships an fmt of its own that would shadow the
  # system's.
  foreach(_libtorch_dir IN LISTS _libtorch_include)
    set_property(
      TARGET LibTorch::LibTorch APPEND
      PROPERTY INTERFACE_COMPILE_OPTIONS
               "SHELL:$<$<COMPILE_LANGUAGE:CXX>:-idirafter ${_libtorch_dir}>")
  endforeach()
  set_property(TARGET LibTorch::LibTorch PROPERTY INTERFACE_LINK_LIBRARIES LibTorch::c10)
endif()
