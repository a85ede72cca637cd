// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/mpi/environment.h>
#include <libgossip/mpi/launcher.h>
#include <libgossip/runtime/run_main.h>

namespace gossip {

int run_main(int argc, char** argv, const std::function<int(Session&)>& body) {
  std::optional<Session> session;
  const auto rank = [&] { return session ? session->rank() : mpi::launched_rank(); };
  // Inside the handlers nothing unwinds past the session: its destructor would wait for the other
  // ranks.
  try {
    session.emplace(argc, argv);
    const int status = body(*session);
    session.reset();
    return status;
  } catch (const JointError& error) {
    // Every rank is here with this message, unless one caught it: rank 0 speaks.
    if (rank() == 0) log_line(LogLevel::kError, 0, error.what());
    mpi::Environment::end_together(1, std::chrono::seconds(3));
    if (rank() != 0) log_line(LogLevel::kError, rank(), error.what());  // not all came
  } catch (const std::bad_alloc&) {
    log_line(LogLevel::kError, rank(), "There is not enough memory.");
  } catch (const std::exception& error) {
    log_line(LogLevel::kError, rank(), error.what());
  } catch (...) {
    log_line(LogLevel::kError, rank(), "an exception of an unknown type");
  }
  std::fflush(nullptr);
  mpi::Environment::abort(1);
}

}  // namespace gossip
