# SPDX-License-Identifier: Apache-2.0
# length.cmake must accept what is just short enough, and name the place of each planted violation.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${WORK}")

function(check_length)
  execute_process(
    COMMAND ${CMAKE_COMMAND} "-DROOT=${WORK}" -P "${CMAKE_CURRENT_LIST_DIR}/length.cmake"
    RESULT_VARIABLE status
    OUTPUT_VARIABLE unused
    ERROR_VARIABLE output)
  set(status "${status}" PARENT_SCOPE)
  set(output "${output}" PARENT_SCOPE)
endfunction()

# plant(<file> <text> <message>): this text in this file must be refused with the message.
function(plant file text message)
  file(WRITE "${WORK}/${file}" "${text}")
  check_length()
  file(REMOVE "${WORK}/${file}")
  string(FIND "${output}" "${file}${message}" found)
  if(status EQUAL 0 OR found EQUAL -1)
    message(SEND_ERROR "not caught in ${file}: ${message}\n${output}")
  endif()
endfunction()

string(REPEAT "x" 97 long)
string(REPEAT "é;[\\" 24 symbols)
string(REPEAT "int x;\n" 500 lines)
file(WRITE "${WORK}/a.h" "// ${long}\n// ${symbols}e\n")
file(WRITE "${WORK}/b/c.cpp" "${lines}")
file(WRITE "${WORK}/table.md" "| ${long} | ${long} |\n")
check_length()
if(NOT status EQUAL 0)
  message(SEND_ERROR "what is short enough is refused:\n${output}")
endif()

plant(d.h "\n// ${long}x\n" ":2: 101 columns")
plant(d.cpp "// ${long}é" ":1: 101 columns")
plant(e/CMakeLists.txt "# ;[] ${long}\n" ":1: 103 columns")
plant(d.py "\n\n${long} = 1\n" ":3: 101 columns")
plant(script "#!/bin/sh\necho ${long}\n" ":2: 102 columns")
plant(d.cpp "${lines}int y;\n" ": 501 lines")
plant(d.cpp "${lines}\n" ": 501 lines")
file(REMOVE_RECURSE "${WORK}")
