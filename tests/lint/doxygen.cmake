# SPDX-License-Identifier: Apache-2.0
# The API reference builds without a warning.
cmake_minimum_required(VERSION 3.25)
find_program(doxygen doxygen)
if(NOT doxygen)
  message("SKIPPED: doxygen is not installed")
  return()
endif()
execute_process(COMMAND "${doxygen}" "${DOXYFILE}" COMMAND_ERROR_IS_FATAL ANY)
