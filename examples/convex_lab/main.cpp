// SPDX-License-Identifier: Apache-2.0
// Runs decentralized methods on convex problems whose optimum is known, and counts what they need:
// in virtual time, or one worker a rank.
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/runtime/run_main.h>
#include <libgossip/transport/agreement.h>

#include "convex_lab/dadao_replay.h"
#include "convex_lab/methods.h"
#include "convex_lab/options.h"
#include "convex_lab/run.h"
#include "convex_lab/run_on_ranks.h"

namespace {

using gossip::Session;
using gossip::examples::ConvexProblem;
using gossip::examples::kind_of;
using gossip::examples::LabKind;
using gossip::examples::LabOptions;
using gossip::examples::LabRecord;

void replay(const LabOptions& options) {
  const std::string text = gossip::examples::replay_dadao({.problem = options.replay,
                                                           .events = options.events,
                                                           .seed = options.seed,
                                                           .safety = options.safety.value_or(1.0)})
                               .dump(1) +
                           "\n";
  if (options.out.empty()) {
    fmt::print("{}", text);
    return;
  }
  std::ofstream file(options.out);
  file << text;
  GOSSIP_CHECK(file.flush().good(), "The replay could not be written to '{}'.", options.out);
}

/// In virtual time with one process, otherwise one worker a rank. What is a line of a theory is
/// drawn by rank 0.
void run(const LabOptions& options, Session& session) {
  std::unique_ptr<const ConvexProblem> problem;
  std::optional<LabRecord> record;
  gossip::transport::check_together(session, [&] {
    problem = make_problem(options);
    if (session.rank() == 0) record.emplace(options.out);
  });
  for (const std::string& method : options.methods) {
    if (session.size() == 1 || kind_of(method) == LabKind::kTheory) {
      if (record) run_in_virtual_time(method, *problem, options, *record);
    } else {
      run_on_ranks(method, *problem, options, session, record ? &*record : nullptr);
    }
  }
  if (record) record->print_table();
}

}  // namespace

int main(int argc, char** argv) {
  return gossip::run_main(argc, argv, [&](Session& session) {
    std::optional<LabOptions> options;
    gossip::transport::check_together(session, [&] {
      options =
          gossip::examples::parse_lab_options(argc, argv, session.size(), session.rank() == 0);
    });
    if (!options) return EXIT_SUCCESS;
    gossip::transport::require_agreement(session, "configuration", options->resolved);
    if (!options->replay.empty()) {
      if (session.rank() == 0) replay(*options);
    } else {
      run(*options, session);
    }
    return EXIT_SUCCESS;
  });
}
