# SPDX-License-Identifier: Apache-2.0
include_guard(GLOBAL)
include(CheckCXXSourceCompiles)

# gossip_check_launcher()
#
# Ends the configuration when MPIEXEC_EXECUTABLE is the launcher of another MPI library than the one
# that programs are linked with: some such pairs start n processes that each believe to be alone.
# Launchers other than Open MPI's and MPICH's (srun) are taken as they are.
function(gossip_check_launcher)
  execute_process(
    COMMAND "${MPIEXEC_EXECUTABLE}" --version
    OUTPUT_VARIABLE version
    ERROR_VARIABLE version
    RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR
            "The MPI launcher '${MPIEXEC_EXECUTABLE}' does not start (${status}): ${version}\n"
            "Set MPIEXEC_EXECUTABLE, or GOSSIP_TEST_LAUNCHER, or GOSSIP_BUILD_TESTS=OFF.")
  endif()

  if(version MATCHES "\\((Open MPI|OpenRTE)\\) ([0-9]+)") # mpirun, and mpiexec of version 4
    set(launcher "Open MPI ${CMAKE_MATCH_2}")
    set(condition "OMPI_MAJOR_VERSION == ${CMAKE_MATCH_2}")
  elseif(version MATCHES "HYDRA build details")
    set(launcher MPICH)
    set(condition "MPICH_NUMVERSION > 0")
  else()
    return()
  endif()

  # The result is kept under a name for this pair, so that another MPI in this build folder is
  # looked at again.
  string(MAKE_C_IDENTIFIER
         "GOSSIP_LAUNCHER_FITS_${launcher}_${MPI_CXX_HEADER_DIR}_${MPI_CXX_COMPILER}" fits)
  set(CMAKE_REQUIRED_LIBRARIES MPI::MPI_CXX)
  set(CMAKE_REQUIRED_QUIET ON)
  check_cxx_source_compiles("
    #include <mpi.h>
    #if !(${condition})
    #error another MPI
    #endif
    int main() {}" ${fits})
  if(NOT ${fits})
    message(FATAL_ERROR
            "The MPI launcher ${MPIEXEC_EXECUTABLE} is of ${launcher}, but programs are compiled "
            "with another MPI (${MPI_CXX_COMPILER}). Choose an MPI with -DMPI_HOME=DIR or by PATH, "
            "in a new build folder, or name the launcher: -DMPIEXEC_EXECUTABLE=DIR/bin/mpirun.")
  endif()
  message(STATUS "Rank tests are started by ${MPIEXEC_EXECUTABLE} (${launcher})")
endfunction()
