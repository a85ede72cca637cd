# SPDX-License-Identifier: Apache-2.0
# Checks who includes whom below ROOT/libgossip. A room sees itself, base, and what its row lists;
# third-party headers only where the row says so. Usage: cmake -DROOT=<repository> -P layers.cmake
cmake_minimum_required(VERSION 3.25)
set(all_below_train
    base
    topology
    policy
    kernels
    mpi
    gpu
    transport
    runtime
    algorithm
    engine
    model
    optim
    checkpoint)
set(rooms ${all_below_train} sim train)

# The rooms that a room may include, besides itself and base.
set(sees_base "")
set(sees_topology "")
set(sees_policy topology)
set(sees_kernels "")
set(sees_mpi "")
set(sees_gpu "")
set(sees_transport topology mpi gpu kernels)
set(sees_runtime mpi gpu transport)
set(sees_algorithm topology kernels)
set(sees_engine topology policy kernels transport algorithm)
set(sees_sim topology policy kernels algorithm)
set(sees_model kernels)
set(sees_optim topology policy kernels transport runtime algorithm engine model gpu)
set(sees_checkpoint transport runtime model optim)
set(sees_train ${all_below_train})

# The third-party headers that a room may include: anywhere, and in .cpp files only (regular
# expressions). fmt, which base allows, is for all.
set(torch "^(torch|ATen|c10)/")
set(anywhere_mpi "^mpi(-ext)?\\.h$")
set(anywhere_gpu "^(cuda_runtime|nccl)\\.h$")
set(anywhere_model "^ATen/core/Tensor\\.h$")
set(anywhere_optim "^torch/optim/optimizer\\.h$")
set(in_cpp_topology "^Eigen/")
set(in_cpp_model "${torch}")
set(in_cpp_optim "${torch}")
set(in_cpp_checkpoint "${torch}|^nlohmann/|^zlib\\.h$")
set(in_cpp_train "${torch}|^nlohmann/")
# Headers for sources only, which are not installed: the rule of .cpp files holds.
set(for_sources "^libgossip/checkpoint/ordered_entries\\.h$|\\.cpp$")
set(in_cu_kernels "^cuda_runtime\\.h$")

set(standard "^[a-z0-9_]+$")
set(system_names unistd fcntl dlfcn pthread sched signal poll time limits termios immintrin)
list(JOIN system_names "|" system_names)
set(system "^(${system_names})\\.h$|^(sys|linux)/")

set(errors "")
macro(violation text)
  list(APPEND errors "${file}: ${text}")
endmacro()

file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/libgossip/*.h" "${ROOT}/libgossip/*.h.in"
     "${ROOT}/libgossip/*.cpp" "${ROOT}/libgossip/*.cuh" "${ROOT}/libgossip/*.cu")
foreach(file IN LISTS files)
  if(file MATCHES "^libgossip/[^/]+$")
    set(room umbrella)  # gossip.h
    set(visible ${rooms})
  else()
    string(REGEX REPLACE "^libgossip/([^/]+)/.*" "\\1" room "${file}")
    if(NOT room IN_LIST rooms)
      violation("the room '${room}' is not in the table of this script")
      continue()
    endif()
    set(visible ${room} base ${sees_${room}})
  endif()

  file(STRINGS "${ROOT}/${file}" includes REGEX "^[ \t]*#[ \t]*include")
  foreach(include IN LISTS includes)
    if(NOT include MATCHES "include[ \t]*<([^>]+)>")
      violation("${include}: write <libgossip/...>")
      continue()
    endif()
    set(header "${CMAKE_MATCH_1}")
    if(header MATCHES "^libgossip/([^/]+)/")
      if(NOT CMAKE_MATCH_1 IN_LIST visible)
        violation("${room} may not include <${header}>")
      endif()
    elseif(header MATCHES "${standard}" OR header MATCHES "${system}" OR header MATCHES "^fmt/")
      # for all
    elseif(DEFINED anywhere_${room} AND header MATCHES "${anywhere_${room}}")
      # allowed
    elseif(file MATCHES "${for_sources}" AND DEFINED in_cpp_${room}
           AND header MATCHES "${in_cpp_${room}}")
      # allowed
    elseif(file MATCHES "\\.cuh?$" AND DEFINED in_cu_${room} AND header MATCHES "${in_cu_${room}}")
      # allowed
    else()
      violation("${room} may not include <${header}> here")
    endif()
  endforeach()

  # Calls and constants of MPI belong to one room, even where its header comes in through another.
  if(NOT room STREQUAL "mpi")
    file(READ "${ROOT}/${file}" text)
    string(REGEX REPLACE "//[^\n]*" "" text "${text}")
    string(REGEX REPLACE "\"[^\"\n]*\"" "" text "${text}")
    if(text MATCHES "[^A-Za-z0-9_](MPI_[A-Z][A-Za-z_]*)")
      violation("says ${CMAKE_MATCH_1}; only the room mpi may")
    endif()
  endif()
endforeach()

if(errors)
  list(JOIN errors "\n  " text)
  message(FATAL_ERROR "Layers violated (the table stands in tests/lint/layers.cmake):\n  ${text}")
endif()
list(LENGTH files count)
message(STATUS "layers hold in ${count} files")
