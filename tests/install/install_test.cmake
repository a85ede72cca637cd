# SPDX-License-Identifier: Apache-2.0
# One step of the install tests; CMakeLists.txt beside this file names them and passes the
# variables.
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Configures and builds the consumer in a folder of its own, which is kept: the second time is fast.
function(build_consumer folder target)
  run(${CMAKE_COMMAND} -G "${GENERATOR}" -S "${CONSUMER}" -B "${folder}"
      "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}"
      "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}" "-DCMAKE_CXX_FLAGS=${FLAGS}" ${ARGN})
  run(${CMAKE_COMMAND} --build "${folder}" --target ${target} --parallel 2)
endfunction()

set(tree "${WORK}/moved tree")

if(STEP STREQUAL "tree")
  file(REMOVE_RECURSE "${WORK}/tree" "${tree}")
  run(${CMAKE_COMMAND} --install "${BUILD}" --prefix "${WORK}/tree")
  file(RENAME "${WORK}/tree" "${tree}")

elseif(STEP STREQUAL "package")
  # No LibTorch_ROOT: the package knows what the library was built with.
  unset(ENV{LibTorch_ROOT})
  build_consumer("${WORK}/package" consumer -DGOSSIP_FROM=package
                 "-DCMAKE_PREFIX_PATH=${tree}" --fresh)
  run("${WORK}/package/consumer")

elseif(STEP STREQUAL "beside_torch")
  # No LibTorch_ROOT: with Torch first the package takes that one.
  unset(ENV{LibTorch_ROOT})
  foreach(first IN ITEMS ON OFF)
    build_consumer("${WORK}/beside_torch_${first}" consumer_with_torch -DGOSSIP_FROM=package
                   "-DCMAKE_PREFIX_PATH=${tree}" -DTORCH_FIRST=${first} "-DLIBTORCH=${TORCH}"
                   "-DTorch_DIR=${CONSUMER}/../torch" --fresh)
    run("${WORK}/beside_torch_${first}/consumer_with_torch")
  endforeach()

elseif(STEP STREQUAL "pkg_config")
  set(ENV{PKG_CONFIG_PATH} "${tree}/${LIBDIR}/pkgconfig")
  execute_process(
    COMMAND pkg-config --cflags --libs gossip
    OUTPUT_VARIABLE flags
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${FLAGS} ${flags}")
  file(MAKE_DIRECTORY "${WORK}/pkg_config")
  run("${COMPILER}" "${CONSUMER}/main.cpp" -o "${WORK}/pkg_config/consumer" ${flags})
  set(ENV{LD_LIBRARY_PATH} "${tree}/${LIBDIR}:$ENV{LD_LIBRARY_PATH}")
  run("${WORK}/pkg_config/consumer")

elseif(STEP STREQUAL "subdirectory")
  build_consumer("${WORK}/subdirectory" consumer_object -DGOSSIP_FROM=subdirectory
                 "-DGOSSIP_SOURCE=${SOURCE}"
                 "-DLibTorch_ROOT=${TORCH}" "-DGOSSIP_WERROR=${WERROR}" "-DGOSSIP_UNITY=${UNITY}")

elseif(STEP STREQUAL "fetch")
  build_consumer("${BESIDE}" consumer -DGOSSIP_FROM=fetch "-DGOSSIP_SOURCE=${SOURCE}"
                 "-DLibTorch_ROOT=${TORCH}"
                 "-DGOSSIP_WERROR=${WERROR}" "-DGOSSIP_UNITY=${UNITY}"
                 "-DBUILD_SHARED_LIBS=${SHARED}")
  run("${BESIDE}/consumer")

else()
  message(FATAL_ERROR "unknown step '${STEP}'")
endif()
