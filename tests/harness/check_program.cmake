# SPDX-License-Identifier: Apache-2.0
# Runs PROGRAM on RANKS ranks, which LAUNCHER gives. It must end by itself within 100 seconds,
# print a match of each line of EXPECT and none of REJECT, and leave no process behind.
# STATUS empty: the launcher must report a failure. Otherwise each rank must exit with STATUS; a
# shell around each rank tells, because the launcher ends the other ranks after the first bad exit.
cmake_minimum_required(VERSION 3.25)
set(command "${PROGRAM}" "--gtest_filter=${FILTER}" --gtest_color=no)
if(NOT STATUS STREQUAL "")
  list(PREPEND command sh -c [[if "$0" "$@"
then echo "(exit 0)"
else echo "(exit $?)"
fi]])
endif()
separate_arguments(launcher UNIX_COMMAND "${LAUNCHER}")
execute_process(
  COMMAND ${launcher} ${command}
  INPUT_FILE /dev/null
  RESULT_VARIABLE result
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output
  TIMEOUT 100)
message("${output}")
if(result EQUAL 77 AND output MATCHES "SKIPPED: ")
  return()
endif()

if(NOT result MATCHES "^[0-9]+$")
  message(FATAL_ERROR "The program was to end by itself: ${result}")
elseif(STATUS STREQUAL "" AND result EQUAL 0)
  message(FATAL_ERROR "The program was to fail, but the launcher reports success")
elseif(NOT STATUS STREQUAL "")
  string(REGEX MATCHALL "\\(exit ${STATUS}\\)" exits "${output}")
  list(LENGTH exits count)
  if(NOT count EQUAL RANKS)
    message(FATAL_ERROR "${count} of ${RANKS} ranks exited with ${STATUS}")
  endif()
endif()

string(REPLACE "\n" ";" expect "${EXPECT}")
foreach(regex IN LISTS expect)
  if(NOT output MATCHES "${regex}")
    message(FATAL_ERROR "Nothing in the output matches: ${regex}")
  endif()
endforeach()
if(REJECT AND output MATCHES "${REJECT}")
  message(FATAL_ERROR "The output must not match: ${REJECT}")
endif()

# A rank that was killed may still be ending.
foreach(look RANGE 1 50)
  execute_process(COMMAND ps -eo args OUTPUT_VARIABLE processes COMMAND_ERROR_IS_FATAL ANY)
  string(FIND "${processes}" "\n${PROGRAM} --gtest_filter=${FILTER} " found)
  if(found EQUAL -1)
    return()
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} -E sleep 0.2)
endforeach()
message(FATAL_ERROR "A process of the test is still running")
