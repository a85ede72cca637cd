# SPDX-License-Identifier: Apache-2.0
# Writes the commit that SOURCE stands at into the header OUTPUT, where it differs from what stands
# there: one file includes it, so that a commit recompiles only that one. A star marks files that
# differ from the commit; "unknown" stands for a tree that is no clone, or a part of another
# project's.
# Usage at every build: cmake -DSOURCE=<repository> -DOUTPUT=<header> -P GossipCommit.cmake
cmake_minimum_required(VERSION 3.25)
find_package(Git QUIET)

# gossip_git(<variable> <argument>...) is what git prints, and nothing when it fails.
function(gossip_git variable)
  execute_process(
    COMMAND "${GIT_EXECUTABLE}" --no-optional-locks -C "${SOURCE}" ${ARGN}
    OUTPUT_VARIABLE output
    ERROR_QUIET
    RESULT_VARIABLE status
    OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT status EQUAL 0)
    set(output "")
  endif()
  set(${variable} "${output}" PARENT_SCOPE)
endfunction()

set(commit unknown)
if(Git_FOUND)
  gossip_git(top rev-parse --show-toplevel)
  file(REAL_PATH "${SOURCE}" source)
  if(top STREQUAL source)
    gossip_git(commit rev-parse --short=12 HEAD)
    gossip_git(changes status --porcelain --untracked-files=no)
    if(commit STREQUAL "")
      set(commit unknown) # nothing was committed yet
    elseif(changes)
      string(APPEND commit "*")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The commit that this library was built from, written at every build by cmake/GossipCommit.cmake.

namespace gossip::train::detail {

inline constexpr const char* kCommit = \"@commit@\";

}  // namespace gossip::train::detail
" @ONLY)
