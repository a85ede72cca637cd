// SPDX-License-Identifier: Apache-2.0
// One way to start or end MPI, chosen on the command line; says what happened. See CMakeLists.txt.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <mpi.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/environment.h>
#include <libgossip/mpi/mca.h>
#include <libgossip/mpi/request.h>
#include <libgossip/mpi/shared_window.h>

namespace {

using gossip::mpi::Communicator;
using gossip::mpi::Environment;
using gossip::mpi::Requests;

bool is_initialized() {
  int flag = 0;
  MPI_Initialized(&flag);
  return flag != 0;
}

bool is_finalized() {
  int flag = 0;
  MPI_Finalized(&flag);
  return flag != 0;
}

int owns(int argc, char** argv) {
  int size = 0;
  {
    const Environment environment(argc, argv);
    const Communicator world = environment.world();
    size = world.size();
    world.barrier();
  }
  if (is_finalized()) std::printf("world of %d, finalized by the environment\n", size);
  return is_finalized() ? 0 : 1;
}

int respects(int argc, char** argv) {
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &level);
  {
    const Environment environment(argc, argv);
    environment.world().barrier();
  }
  if (!is_initialized() || is_finalized()) return 1;
  MPI_Finalize();
  std::puts("still initialized, finalized by the application");
  return 0;
}

/// Starts MPI with this thread level; the environment has to refuse it on every rank.
int refuses(int argc, char** argv, int level) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, level, &provided);
  int status = 1;
  try {
    const Environment environment(argc, argv);
  } catch (const gossip::Error& error) {
    std::printf("refused: %s\n", error.what());
    status = 0;
  }
  MPI_Finalize();
  return status;
}

/// An application that started MPI itself, which by then may have set variables of its own.
int refuses_launcher(int argc, char** argv) { return refuses(argc, argv, MPI_THREAD_SERIALIZED); }

int refuses_to_start(int argc, char** argv) {
  try {
    const Environment environment(argc, argv);
  } catch (const gossip::Error& error) {
    std::printf("refused: %s\n", error.what());
    return 0;
  }
  return 1;
}

int finalized(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Finalize();
  return refuses_to_start(argc, argv);
}

/// Only rank 1 throws; without the rule for collective handles it would hang in MPI_Win_free or
/// MPI_Finalize.
int throws_past_window(int argc, char** argv) {
  gossip::Rank rank = -1;
  try {
    const Environment environment(argc, argv);
    const Communicator world = environment.world();
    const gossip::mpi::SharedWindow window(world, 1000);
    rank = world.rank();
    if (rank == 1) throw std::runtime_error("past a window");
    world.barrier();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
    std::fflush(stderr);
    Environment::abort(9);
  }
  return 0;
}

/// What MPI says a parameter of Open MPI is; "unknown" where it has none of this name.
std::string parameter(const char* name) {
  int level = 0;
  MPI_T_init_thread(MPI_THREAD_SERIALIZED, &level);
  std::string value = "unknown";
  int index = 0;
  if (MPI_T_cvar_get_index(name, &index) == MPI_SUCCESS) {
    MPI_T_cvar_handle handle{};
    int count = 0;
    unsigned long number = 0;
    if (MPI_T_cvar_handle_alloc(index, nullptr, &handle, &count) == MPI_SUCCESS) {
      if (MPI_T_cvar_read(handle, &number) == MPI_SUCCESS) value = std::to_string(number);
      MPI_T_cvar_handle_free(&handle);
    }
  }
  MPI_T_finalize();
  return value;
}

/// What libgossip set for Open MPI, and what Open MPI made of it.
int parameters(int argc, char** argv) {
  const Environment environment(argc, argv);
  for (const gossip::mpi::McaParameter& known : gossip::mpi::mca_defaults()) {
    const char* text = std::getenv((std::string("OMPI_MCA_") + known.name).c_str());
    std::printf("%s: %s\n", known.name, text == nullptr ? "not set" : text);
  }
  std::printf("osc: %s\n", std::getenv("OMPI_MCA_osc") == nullptr ? "not set" : "set");
  std::printf("eager limit in use: %s\n", parameter("btl_tcp_eager_limit").c_str());
  return 0;
}

/// Starts operations that never finish and lets them go, by destruction or by assignment.
int unfinished(int argc, char** argv, bool assigns) {
  const Environment environment(argc, argv);
  const Communicator world = environment.world();
  int value = 0;
  Requests requests;
  const int count = assigns ? 1 : 2;
  for (int tag = 0; tag < count; ++tag) {
    MPI_Irecv(&value, 1, MPI_INT, world.rank(), tag, world.get(), requests.add());
  }
  if (assigns) requests = Requests();
  return 0;
}

/// Rank 0 gives up waiting for an operation that no other rank ever starts, or all ranks do for one
/// that ends when all have left it.
int gives_up(int argc, char** argv, bool is_alone) {
  {
    const Environment environment(argc, argv);
    const Communicator world = environment.world();
    if (!is_alone || world.rank() == 0) {
      auto numbers = std::make_shared<std::vector<double>>(100'000, 1.0);
      Requests requests;
      world.max_async(numbers, requests);
      world.disturb();
    }
  }
  if (is_finalized()) std::puts("finalized with nothing lost");
  return is_finalized() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "owns") return owns(argc, argv);
  if (name == "respects") return respects(argc, argv);
  if (name == "single") return refuses(argc, argv, MPI_THREAD_SINGLE);
  if (name == "funneled") return refuses(argc, argv, MPI_THREAD_FUNNELED);
  if (name == "finalized") return finalized(argc, argv);
  if (name == "foreign_launcher") return refuses_to_start(argc, argv);
  if (name == "foreign_launcher_of_application") return refuses_launcher(argc, argv);
  if (name == "parameters") return parameters(argc, argv);
  if (name == "throws_past_window") return throws_past_window(argc, argv);
  if (name == "gives_up_alone") return gives_up(argc, argv, true);
  if (name == "gives_up") return gives_up(argc, argv, false);
  if (name == "unfinished") return unfinished(argc, argv, false);
  if (name == "overwritten") return unfinished(argc, argv, true);
  std::fprintf(stderr, "there is no case '%s'\n", argc > 1 ? argv[1] : "");
  return 2;
}
