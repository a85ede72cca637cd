# SPDX-License-Identifier: Apache-2.0
# layers.cmake must accept a clean tree and name the file of each planted violation.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${WORK}")
function(check_layers)
  execute_process(
    COMMAND ${CMAKE_COMMAND} "-DROOT=${WORK}" -P "${CMAKE_CURRENT_LIST_DIR}/layers.cmake"
    RESULT_VARIABLE status
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  set(status "${status}" PARENT_SCOPE)
  set(output "${output}" PARENT_SCOPE)
endfunction()

# plant(<file> <line>): this line in this file must be a violation.
function(plant file line)
  file(WRITE "${WORK}/libgossip/${file}" "${line}\n")
  check_layers()
  file(REMOVE "${WORK}/libgossip/${file}")
  string(FIND "${output}" "libgossip/${file}: " found)
  if(status EQUAL 0 OR found EQUAL -1)
    message(SEND_ERROR "not caught in ${file}: ${line}\n${output}")
  endif()
endfunction()

file(WRITE "${WORK}/libgossip/gossip.h" "#include <libgossip/optim/a.h>\n")
file(WRITE "${WORK}/libgossip/topology/a.cpp"
     "#include <libgossip/base/error.h>\n#include <vector>\n#include <Eigen/Dense>\n// MPI_Send\n")
file(WRITE "${WORK}/libgossip/optim/a.h"
     "#include <libgossip/engine/a.h>\n  #include <torch/optim/optimizer.h>\n")
file(WRITE "${WORK}/libgossip/mpi/a.h" "#include <mpi.h>\nMPI_Comm comm;\n")
check_layers()
if(NOT status EQUAL 0)
  message(SEND_ERROR "a clean tree is refused:\n${output}")
endif()

plant(topology/b.h "#include <libgossip/mpi/a.h>")
plant(base/b.h "#include <libgossip/topology/a.h>")
plant(policy/b.h "#include <libgossip/transport/a.h>")
plant(transport/b.h "#include <libgossip/policy/a.h>")
plant(engine/b/c.cpp "  #  include <libgossip/optim/a.h>")
plant(train/b.cpp "#include <libgossip/sim/a.h>")
plant(checkpoint/b.cpp "#include <libgossip/train/a.h>")
plant(transport/b.cpp "#include <mpi.h>")
plant(transport/b.cpp "int f() { return MPI_Barrier(c); }")
plant(topology/b.h "#include <Eigen/Dense>")
plant(optim/b.h "#include <torch/torch.h>")
plant(algorithm/b.cpp "#include <torch/torch.h>")
plant(kernels/b.cpp "#include \"c.h\"")
plant(cellar/b.h "#include <vector>")
plant(b.h "#include <mpi.h>")
file(REMOVE_RECURSE "${WORK}")
