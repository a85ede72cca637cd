# SPDX-License-Identifier: Apache-2.0
include_guard(GLOBAL)
include(GossipLauncher)
include(GossipTorchPch)

# More ranks than cores, root in containers, one thread a rank, for Open MPI 4 (OMPI_) and 5
# (PRTE_).
set(GOSSIP_TEST_ENVIRONMENT
    OMP_NUM_THREADS=1
    OMPI_ALLOW_RUN_AS_ROOT=1
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    OMPI_MCA_rmaps_base_oversubscribe=1
    PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
    OMPI_MCA_mpi_yield_when_idle=1)

# What the command of a rank test begins with, without the number of ranks; a cluster may set its
# own. Open MPI's and MPICH's launchers know --bind-to.
set(GOSSIP_TEST_LAUNCHER ""
    CACHE STRING "Launcher of the rank tests and its options, without the number of ranks; \
empty: that of the MPI library")
if(NOT GOSSIP_TEST_LAUNCHER)
  gossip_check_launcher()
  set(GOSSIP_TEST_LAUNCHER "${MPIEXEC_EXECUTABLE};--bind-to;none")
endif()

# Builds the tests that make sense under ThreadSanitizer: see the label `tsan`.
if(NOT TARGET gossip_tsan_tests)
  add_custom_target(gossip_tsan_tests)
endif()

# Builds the programs that run on ranks: all that a build for one more MPI library needs.
if(NOT TARGET gossip_rank_tests)
  add_custom_target(gossip_rank_tests)
endif()

# gossip_set_test_properties(<test> [TIMEOUT <seconds>] [PROCESSORS <n>] [LABELS ...] [ENVIRONMENT
# ...])
#
# What every test of the project has: a timeout, labels and the environment above.
function(gossip_set_test_properties test)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "TIMEOUT;PROCESSORS" "LABELS;ENVIRONMENT")
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_PROCESSORS)
    set(ARG_PROCESSORS 1)
  endif()
  # The watchdog of the rank tests must fire before CTest, which only kills.
  math(EXPR watchdog "${ARG_TIMEOUT} - ${ARG_TIMEOUT} / 10 - 2")
  set_tests_properties(
    ${test}
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} PROCESSORS ${ARG_PROCESSORS} LABELS "${ARG_LABELS}"
               ENVIRONMENT
                 "${GOSSIP_TEST_ENVIRONMENT};GOSSIP_TEST_TIMEOUT=${watchdog};${ARG_ENVIRONMENT}")
endfunction()

# One entry of HOSTS of gossip_add_test, below.
function(gossip_add_hosts_test name target entry timeout labels arguments environment)
  if(NOT entry MATCHES "^([1-9][0-9]*)x([1-9][0-9]*)$")
    message(FATAL_ERROR "gossip_add_test(${name}): HOSTS ${entry} is not <hosts>x<ranks a host>")
  endif()
  set(hosts ${CMAKE_MATCH_1})
  set(per_host ${CMAKE_MATCH_2})
  math(EXPR ranks "${hosts} * ${per_host}")
  # Ends later than the watchdog of the ranks and earlier than CTest.
  math(EXPR limit "${timeout} - 2")
  set(test ${name}.h${entry})
  list(TRANSFORM environment PREPEND "--env;" OUTPUT_VARIABLE variables)
  add_test(
    NAME ${test}
    COMMAND "${PROJECT_SOURCE_DIR}/scripts/hosts" --hosts ${hosts} --per-host ${per_host} --timeout
            ${limit}
            --mpirun "${MPIEXEC_EXECUTABLE}" ${variables} -- $<TARGET_FILE:${target}> ${arguments})
  gossip_set_test_properties(
    ${test} TIMEOUT ${timeout} PROCESSORS 2 LABELS mpi hosts ${labels} ENVIRONMENT
    GOSSIP_TEST_RANKS=${ranks} GOSSIP_TEST_HOSTS=${hosts})
  set_tests_properties(${test} PROPERTIES SKIP_RETURN_CODE 77)
endfunction()

# gossip_add_test(<room>/<unit> SOURCES a_test.cpp [RANKS 1 2 3 4] [TIMEOUT 120] [LABELS unit]
#                 [TORCH] [THREADS]
#                 [HOSTS 2x1 2x2] [LIBRARIES ...] [ARGUMENTS ...] [ENVIRONMENT <name=value>...])
#
# With RANKS: one executable and one test a number of ranks, `<room>/<unit>.np3` with the labels
# `mpi`, `np3` and LABELS, started by the launcher; it counts as that many processors. MPI is up
# when a test begins; failures of all ranks are merged.
# HOSTS: also a test on several hosts of this machine (see scripts/hosts); `2x3` is two hosts with
# three ranks each, `<room>/<unit>.h2x3` with the labels `mpi`, `hosts` and LABELS. It is skipped
# where this machine or user cannot make hosts.
# Without RANKS (or 0) and HOSTS: a plain GoogleTest program `<room>/<unit>`.
# THREADS: that program has several threads, and is one of those that the preset tsan builds and
# runs: it gets the label `tsan`. Not with LibTorch, whose libraries ThreadSanitizer cannot see
# into.
# TORCH: the sources include torch/torch.h, which is then precompiled; no test with
# GOSSIP_WITH_TORCH=OFF.
# TIMEOUT: seconds for one program, at least 5; LABELS defaults to `unit`. ENVIRONMENT: of the
# ranks.
function(gossip_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "TORCH;THREADS" "TIMEOUT"
                        "SOURCES;RANKS;HOSTS;LABELS;LIBRARIES;ARGUMENTS;ENVIRONMENT")
  if(ARG_UNPARSED_ARGUMENTS OR NOT ARG_SOURCES)
    message(FATAL_ERROR "gossip_add_test(${name}): no SOURCES, or unknown arguments: "
                        "${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(ARG_TORCH AND NOT GOSSIP_WITH_TORCH)
    return()
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()

  string(MAKE_C_IDENTIFIER "test_${name}" target)
  add_executable(${target} ${ARG_SOURCES})
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(
    ${target} PRIVATE GOSSIP_TEST_REFERENCE_DIR="${PROJECT_SOURCE_DIR}/tests/reference")
  target_link_libraries(
    ${target} PRIVATE ${ARG_LIBRARIES} gossip::gossip gossip_warnings GTest::gmock GTest::gtest)
  if(ARG_TORCH)
    gossip_use_torch_pch(${target})
    # What makes a suite's ranks sees nothing of LibTorch.
    set(ranks ${ARG_SOURCES})
    list(FILTER ranks INCLUDE REGEX "/on_[a-z]+_ranks\\.cpp$")
    set_property(SOURCE ${ranks} PROPERTY SKIP_PRECOMPILE_HEADERS ON)
    set_property(SOURCE ${ranks} PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ${GOSSIP_UNITY} UNITY_BUILD_BATCH_SIZE 5)
  endif()

  if(NOT ARG_RANKS AND NOT ARG_HOSTS)
    target_link_libraries(${target} PRIVATE GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${target} ${ARG_ARGUMENTS})
    if(ARG_THREADS)
      list(APPEND ARG_LABELS tsan)
      add_dependencies(gossip_tsan_tests ${target})
    endif()
    gossip_set_test_properties(${name} TIMEOUT "${ARG_TIMEOUT}" LABELS ${ARG_LABELS} ENVIRONMENT
                               ${ARG_ENVIRONMENT})
    return()
  endif()

  target_link_libraries(${target} PRIVATE gossip_test_mpi_main)
  add_dependencies(gossip_rank_tests ${target})
  foreach(ranks IN LISTS ARG_RANKS)
    add_test(NAME ${name}.np${ranks} COMMAND ${GOSSIP_TEST_LAUNCHER} ${MPIEXEC_NUMPROC_FLAG}
             ${ranks}
                                             $<TARGET_FILE:${target}> ${ARG_ARGUMENTS})
    gossip_set_test_properties(
      ${name}.np${ranks} TIMEOUT ${ARG_TIMEOUT} PROCESSORS ${ranks} LABELS mpi np${ranks}
      ${ARG_LABELS}
      ENVIRONMENT GOSSIP_TEST_RANKS=${ranks} ${ARG_ENVIRONMENT})
  endforeach()
  foreach(entry IN LISTS ARG_HOSTS)
    gossip_add_hosts_test(${name} ${target} ${entry} ${ARG_TIMEOUT} "${ARG_LABELS}"
                          "${ARG_ARGUMENTS}"
                          "${ARG_ENVIRONMENT}")
  endforeach()
endfunction()
