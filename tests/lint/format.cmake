# SPDX-License-Identifier: Apache-2.0
# All C++ files are as clang-format leaves them; it must be the version that .clang-format names.
cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/files.cmake")
find_program(clang_format NAMES clang-format-${CLANG_FORMAT_VERSION} clang-format)
if(NOT clang_format)
  message("SKIPPED: clang-format is not installed")
  return()
endif()
execute_process(COMMAND "${clang_format}" --version OUTPUT_VARIABLE version)
if(NOT version MATCHES "version ${CLANG_FORMAT_VERSION}\\.")
  message("SKIPPED: clang-format ${CLANG_FORMAT_VERSION} is needed, this is ${version}")
  return()
endif()

tracked_files(files "\\.(cpp|h|cuh?)$")
execute_process(
  COMMAND "${clang_format}" --dry-run -Werror ${files}
  WORKING_DIRECTORY "${ROOT}"
  RESULT_VARIABLE status
  ERROR_VARIABLE output)
if(NOT status EQUAL 0)
  string(REGEX MATCHALL "[^\n:]+:[0-9]+:[0-9]+: error" places "\n${output}")
  list(TRANSFORM places REPLACE ":.*" "")
  list(REMOVE_DUPLICATES places)
  list(JOIN places " " text)
  message(FATAL_ERROR "${output}\nTo format: clang-format -i ${text}")
endif()
list(LENGTH files count)
message(STATUS "${count} files are formatted")
