# SPDX-License-Identifier: Apache-2.0
"""Runs gossip-bench for the tests of its commands; argv: PROGRAM [MPIRUN [scripts/hosts]]."""

import os
import pathlib
import subprocess
import sys

PROGRAM, MPIRUN = sys.argv[1:3]
HOSTS = sys.argv[3] if len(sys.argv) > 3 else None
DOCUMENT = (pathlib.Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
SKIPPED = 77


def on_one_machine(ranks, *arguments, **variables):
    command = [MPIRUN, "--bind-to", "none", "-n", str(ranks), PROGRAM, *arguments]
    return run(command, variables)


def on_hosts(hosts, *arguments):
    run_ = run([HOSTS, "--hosts", str(hosts), "--timeout", "100", "--mpirun", MPIRUN, "--", PROGRAM,
                *arguments], {})
    if run_.returncode == SKIPPED:
        sys.stderr.write(run_.stderr)
        os._exit(SKIPPED)
    return run_


def run(command, variables):
    return subprocess.run(command, capture_output=True, text=True, timeout=200,
                          stdin=subprocess.DEVNULL, env={**os.environ, **variables})
