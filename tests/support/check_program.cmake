# SPDX-License-Identifier: Apache-2.0
# Runs PROGRAM CASE under LAUNCHER (nothing: directly) with OMP_NUM_THREADS = THREADS (nothing: not
# set, `empty`: set to nothing). It must end by itself within 50 seconds, well unless FAILS, and
# print a match of each line of EXPECT, exactly one of ONCE and none of ABSENT where these are
# given.
if(THREADS STREQUAL "")
  unset(ENV{OMP_NUM_THREADS})
elseif(THREADS STREQUAL empty)
  # set(ENV{...} "") would unset it.
  set(launch_through env OMP_NUM_THREADS=)
else()
  set(ENV{OMP_NUM_THREADS} "${THREADS}")
endif()
separate_arguments(launcher UNIX_COMMAND "${LAUNCHER}")
execute_process(
  COMMAND ${launch_through} ${launcher} ${PROGRAM} ${CASE}
  INPUT_FILE /dev/null
  RESULT_VARIABLE result
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output
  TIMEOUT 50)
string(APPEND output "ended with ${result}\n")
message("${output}")

if(NOT result MATCHES "^[0-9]+$" AND NOT (FAILS AND result MATCHES "abort"))
  message(FATAL_ERROR "The program was to end by itself: ${result}")
elseif(FAILS AND result EQUAL 0)
  message(FATAL_ERROR "The program was to fail, but reports success")
elseif(NOT FAILS AND NOT result EQUAL 0)
  message(FATAL_ERROR "The program was to end well, but ended with ${result}")
endif()

string(REPLACE "\n" ";" expect "${EXPECT}")
foreach(regex IN LISTS expect)
  if(NOT output MATCHES "${regex}")
    message(FATAL_ERROR "Nothing in the output matches: ${regex}")
  endif()
endforeach()
if(NOT ONCE STREQUAL "")
  string(REGEX MATCHALL "${ONCE}" matches "${output}")
  list(LENGTH matches count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "The output matches ${count} times, not once: ${ONCE}")
  endif()
endif()
if(ABSENT AND output MATCHES "${ABSENT}")
  message(FATAL_ERROR "The output matches: ${ABSENT}")
endif()
