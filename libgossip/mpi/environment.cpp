// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/mpi/abandoned.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/environment.h>
#include <libgossip/mpi/launcher.h>
#include <libgossip/mpi/mca.h>

namespace gossip::mpi {
namespace {

/// How long the end waits for operations that were given up: the ranks that they miss may have come
/// since.
constexpr std::chrono::seconds kLastOperations{2};

std::string_view name_of_thread_level(int level) {
  switch (level) {
    case MPI_THREAD_SINGLE:
      return "MPI_THREAD_SINGLE";
    case MPI_THREAD_FUNNELED:
      return "MPI_THREAD_FUNNELED";
    case MPI_THREAD_SERIALIZED:
      return "MPI_THREAD_SERIALIZED";
    case MPI_THREAD_MULTIPLE:
      return "MPI_THREAD_MULTIPLE";
    default:
      return "an unknown thread level";
  }
}

void check_thread_level(int level, std::string_view cure) {
  GOSSIP_CHECK(level >= MPI_THREAD_SERIALIZED,
               "MPI grants {}, but libgossip makes MPI calls from a thread of its own and needs "
               "MPI_THREAD_SERIALIZED: {}.",
               name_of_thread_level(level), cure);
}

/// The communication thread may be in a call of MPI when the process is to end.
constexpr std::chrono::seconds kPatienceWithCalls{1};

/// Whether MPI can be called.
bool is_up() {
  int is_initialized = 0;
  int is_finalized = 0;
  MPI_Initialized(&is_initialized);
  MPI_Finalized(&is_finalized);
  return is_initialized != 0 && is_finalized == 0;
}

/// Only Open MPI reads them.
void prepare_open_mpi() {
#if defined(OMPI_MAJOR_VERSION)
  for (const std::string& name : set_mca_defaults(mca_files())) {
    log(LogLevel::kDebug, launched_rank(), "set OMPI_MCA_{}={}", name,
        std::getenv(("OMPI_MCA_" + name).c_str()));
  }
#endif
}

}  // namespace

std::string library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  GOSSIP_MPI(MPI_Get_library_version(text.data(), &length));
  // "Open MPI v4.1.4, package: ..." or "MPICH Version:      5.0.2" and more lines
  const std::string all(text.data(), static_cast<std::size_t>(length));
  std::istringstream words(all.substr(0, all.find_first_of(",\n")));
  std::string result;
  for (std::string word; words >> word;) {
    if (word == "Version:") continue;
    if (!result.empty()) result += ' ';
    result += word;
  }
  return result;
}

Environment::Environment(int& argc, char**& argv) : owns_(false) {
  int is_finalized = 0;
  GOSSIP_MPI(MPI_Finalized(&is_finalized));
  GOSSIP_CHECK(is_finalized == 0,
               "MPI was finalized already in this process and cannot start again: keep one session "
               "for the whole run.");
  int is_initialized = 0;
  GOSSIP_MPI(MPI_Initialized(&is_initialized));
  int level = 0;
  if (is_initialized != 0) {
    GOSSIP_MPI(MPI_Query_thread(&level));
    check_thread_level(level, "initialize with MPI_Init_thread(..., MPI_THREAD_SERIALIZED, ...)");
  } else {
    prepare_open_mpi();
    GOSSIP_MPI(MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &level));
    owns_ = true;
    check_thread_level(level, "use an MPI library built with thread support");
  }
  int size = 0;
  GOSSIP_MPI(MPI_Comm_size(MPI_COMM_WORLD, &size));
  check_launcher(launched_by(), size);
}

Environment::~Environment() {
  if (!owns_ || lifetime_.ends_alone()) return;
  static_cast<void>(finish_abandoned(Deadline(kLastOperations)));
  const Serial serial;
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized == 0) MPI_Finalize();
}

Communicator Environment::world() const { return Communicator::duplicate(MPI_COMM_WORLD); }

void Environment::abort(int status) {
  static_cast<void>(Serial::keep(kPatienceWithCalls));
  if (is_up()) {
    std::fflush(nullptr);
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    // MPICH's launcher drops what it has not passed on yet.
    constexpr std::chrono::milliseconds kForOutput{100};
    constexpr int kMostTurns = 5;
    std::this_thread::sleep_for(kForOutput * (1 + 2 * std::min(rank, kMostTurns)));
    MPI_Abort(MPI_COMM_WORLD, status);
  }
  std::_Exit(status);
}

void Environment::end_together(int status, std::chrono::milliseconds patience) {
  if (!Serial::keep(kPatienceWithCalls) || !is_up()) return;
  MPI_Request all = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(MPI_COMM_WORLD, &all) != MPI_SUCCESS) return;
  const auto have_come = [&] {
    int flag = 0;
    return MPI_Test(&all, &flag, MPI_STATUS_IGNORE) == MPI_SUCCESS && flag != 0;
  };
  if (!wait_until(Deadline(patience), have_come)) return;
  std::fflush(nullptr);
  MPI_Finalize();
  std::_Exit(status);
}

}  // namespace gossip::mpi
