# SPDX-License-Identifier: Apache-2.0
# Runs PROGRAM CASE under LAUNCHER. It must end by itself within 20 seconds, well unless FAILS, and print a
# match of each line of EXPECT.
separate_arguments(launcher UNIX_COMMAND "${LAUNCHER}")
execute_process(
  COMMAND ${launcher} ${PROGRAM} ${CASE}
  INPUT_FILE /dev/null
  RESULT_VARIABLE result
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output
  TIMEOUT 20)
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
