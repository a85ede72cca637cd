# SPDX-License-Identifier: Apache-2.0
# tracked_files(<out> <regex>): the files of the repository below ROOT whose relative path matches;
# without git all files outside build and dependency folders.
function(tracked_files out regex)
  execute_process(
    COMMAND git -c safe.directory=* -C "${ROOT}" ls-files
    OUTPUT_VARIABLE files
    RESULT_VARIABLE status
    ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(status EQUAL 0 AND EXISTS "${ROOT}/.git")
    string(REPLACE "\n" ";" files "${files}")
  else()
    file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/*")
    list(FILTER files EXCLUDE REGEX "^(build|runs|\\.deps|\\.git)/")
  endif()

  set(found "")
  foreach(file IN LISTS files)
    if(file MATCHES "${regex}" AND EXISTS "${ROOT}/${file}")
      list(APPEND found "${file}")
    endif()
  endforeach()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

# The version of clang-format that the project is formatted with; others differ in detail.
set(CLANG_FORMAT_VERSION 14)
