// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <csignal>
#include <mutex>
#include <signal.h>

#include <libgossip/base/error.h>
#include <libgossip/runtime/signals.h>

namespace gossip {
namespace {

constexpr std::array kSignals{SIGUSR1, SIGUSR2, SIGTERM};

std::atomic<int> received_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);  // a signal handler may do nothing else

std::mutex installing;
int installed = 0;
std::array<struct sigaction, kSignals.size()> previous;

extern "C" void note_signal(int signal) {
  received_signal.store(signal, std::memory_order_relaxed);
}

}  // namespace

StopSignals::StopSignals() {
  const std::lock_guard lock(installing);
  if (installed++ > 0) return;
  received_signal = 0;
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;  // reads and writes that are under way go on
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

StopSignals::~StopSignals() {
  const std::lock_guard lock(installing);
  if (--installed > 0) return;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

int StopSignals::received() noexcept { return received_signal.load(std::memory_order_relaxed); }

void StopSignals::pass_on() noexcept {
  if (const int signal = received_signal.exchange(0); signal != 0) raise(signal);
}

std::string signal_name(int signal) {
  switch (signal) {
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    case SIGTERM:
      return "SIGTERM";
    default:
      return fmt::format("signal {}", signal);
  }
}

}  // namespace gossip
