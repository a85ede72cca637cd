// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Signals by which a cluster asks a program to end.

#include <string>

namespace gossip {

/// While it lives, SIGUSR1, SIGUSR2 and SIGTERM end nothing: they are noted, and the program looks
/// at them when it can. Several may live at once; all see the same signals. The last one to go puts
/// back what the process did about these signals before.
///
/// Threads: any.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  /// The signal that came last since the first of these objects was made; 0: none.
  [[nodiscard]] static int received() noexcept;

  /// For a program that finds, after the last of these objects is gone, that it has nothing to do
  /// about signals: sends the process the one that came meanwhile, if any.
  static void pass_on() noexcept;
};

/// "SIGUSR1"; "signal 5" for others than those three.
[[nodiscard]] std::string signal_name(int signal);

}  // namespace gossip
