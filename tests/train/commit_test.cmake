# SPDX-License-Identifier: Apache-2.0
# cmake/GossipCommit.cmake on trees made for it. Usage: cmake -DROOT=<repository> -P
# commit_test.cmake
cmake_minimum_required(VERSION 3.25)
find_package(Git REQUIRED)
string(RANDOM LENGTH 12 name)
file(REAL_PATH "$ENV{TMPDIR}" temporary BASE_DIRECTORY /tmp)
set(folder "${temporary}/gossip-commit-${name}")
set(header "${folder}.h")

function(git)
  execute_process(
    COMMAND "${GIT_EXECUTABLE}" -C "${folder}" -c user.name=test -c user.email=test@localhost -c
            commit.gpgsign=false ${ARGN}
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# expect(<what stands there> <regular expression> [<source>])
function(expect what regex)
  set(source "${folder}")
  if(ARGC GREATER 2)
    set(source "${ARGV2}")
  endif()
  execute_process(
    COMMAND ${CMAKE_COMMAND} "-DSOURCE=${source}" "-DOUTPUT=${header}" -P
            "${ROOT}/cmake/GossipCommit.cmake"
            COMMAND_ERROR_IS_FATAL ANY)
  file(STRINGS "${header}" line REGEX kCommit)
  if(NOT line MATCHES "= \"${regex}\"")
    file(REMOVE_RECURSE "${folder}" "${header}")
    message(FATAL_ERROR "${what}: ${line}")
  endif()
endfunction()

file(MAKE_DIRECTORY "${folder}/part")
expect("no clone" unknown)
git(init -q)
expect("nothing committed" unknown)
file(WRITE "${folder}/part/file" "one\n")
git(add part)
git(commit -q -m one)
expect("a commit" "[0-9a-f]+")
file(TIMESTAMP "${header}" before "%s %f" UTC)
expect("the same commit" "[0-9a-f]+")
file(TIMESTAMP "${header}" after "%s %f" UTC)
file(WRITE "${folder}/other" "not known to git\n")
expect("a new file" "[0-9a-f]+")
file(WRITE "${folder}/part/file" "two\n")
expect("a changed file" "[0-9a-f]+[*]")
expect("a part of another clone" unknown "${folder}/part")
file(REMOVE_RECURSE "${folder}" "${header}")
if(NOT before STREQUAL after)
  message(FATAL_ERROR "the header was written though nothing had changed")
endif()
