# SPDX-License-Identifier: Apache-2.0
# Every source file says its license in the first three lines.
cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/files.cmake")
tracked_files(files ".")
set(missing "")
set(checked 0)
foreach(file IN LISTS files)
  file(STRINGS "${ROOT}/${file}" head LIMIT_COUNT 3 LIMIT_INPUT 1000)
  if(file
     MATCHES "\\.(cpp|h|h\\.in|cuh?|cmake|cmake\\.in|py|sh|sbatch|bash)$|(^|/)CMakeLists\\.txt$"
     OR head MATCHES "^#!")
    math(EXPR checked "${checked} + 1")
    file(SIZE "${ROOT}/${file}" size)
    if(size GREATER 0 AND NOT head MATCHES "SPDX-License-Identifier: Apache-2\\.0")
      list(APPEND missing "${file}")
    endif()
  endif()
endforeach()
if(missing)
  list(JOIN missing "\n  " text)
  message(FATAL_ERROR "No line 'SPDX-License-Identifier: Apache-2.0' at the top of:\n  ${text}")
endif()
message(STATUS "${checked} files say their license")
