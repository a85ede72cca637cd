# SPDX-License-Identifier: Apache-2.0
# All shell scripts pass shellcheck.
cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/files.cmake")
find_program(shellcheck shellcheck)
if(NOT shellcheck)
  message("SKIPPED: shellcheck is not installed")
  return()
endif()
tracked_files(files ".")
set(scripts "")
foreach(file IN LISTS files)
  file(STRINGS "${ROOT}/${file}" head LIMIT_COUNT 1 LIMIT_INPUT 100)
  if(file MATCHES "\\.(sh|bash)$" OR head MATCHES "^#!.*[/ ](ba)?sh")
    list(APPEND scripts "${file}")
  endif()
endforeach()
execute_process(
  COMMAND "${shellcheck}" -x -P SCRIPTDIR ${scripts}
  WORKING_DIRECTORY "${ROOT}"
  RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "shellcheck finds faults")
endif()
list(LENGTH scripts count)
message(STATUS "${count} scripts pass")
