# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` installs: the library, the headers of both file sets, a CMake package and a
# pkg-config file. Off when another project builds this one as a part of itself.
include(CMakePackageConfigHelpers)
option(GOSSIP_INSTALL "Install the library with its headers and package files"
       ${PROJECT_IS_TOP_LEVEL})
if(NOT GOSSIP_INSTALL OR NOT GOSSIP_WITH_TORCH) # a part of the library is for its developers only
  return()
endif()

set(gossip_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/gossip")
# Programs must run with the LibTorch that the library was built with: the package looks there
# first.
cmake_path(GET LibTorch_INCLUDE_DIR PARENT_PATH gossip_libtorch_root)

install(
  TARGETS gossip
  EXPORT gossipTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILE_SET generated DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT gossipTargets NAMESPACE gossip:: DESTINATION "${gossip_package_dir}")

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/gossip-config.cmake.in" "${PROJECT_BINARY_DIR}/gossip-config.cmake"
  INSTALL_DESTINATION "${gossip_package_dir}")
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/gossip-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(
  FILES "${PROJECT_BINARY_DIR}/gossip-config.cmake"
        "${PROJECT_BINARY_DIR}/gossip-config-version.cmake"
        "${CMAKE_CURRENT_LIST_DIR}/FindLibTorch.cmake"
  DESTINATION "${gossip_package_dir}")

# pkg-config: prefix relative to the file, so that an install tree can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(gossip_pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  set(gossip_pc_prefix "\${pcfiledir}/${up}")
endif()
set(gossip_pc_cflags "")
foreach(definition IN LISTS MPI_CXX_COMPILE_DEFINITIONS)
  string(APPEND gossip_pc_cflags " -D${definition}")
endforeach()
foreach(folder IN LISTS MPI_CXX_INCLUDE_DIRS)
  string(APPEND gossip_pc_cflags " -isystem ${folder}")
endforeach()
list(JOIN MPI_CXX_LIBRARIES " " gossip_pc_mpi)
configure_file("${CMAKE_CURRENT_LIST_DIR}/gossip.pc.in" "${PROJECT_BINARY_DIR}/gossip.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/gossip.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
