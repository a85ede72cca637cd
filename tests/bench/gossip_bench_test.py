#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gossip-bench prints the metrics that docs/benchmarks.md defines, one JSON line each.

Usage: gossip_bench_test.py GOSSIP_BENCH MPIRUN
"""

import json
import pathlib
import subprocess
import sys
import unittest

PROGRAM, MPIRUN = sys.argv[1:3]
DOCUMENT = (pathlib.Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
LIBRARY = pathlib.Path(__file__).parents[2] / "scripts" / "lib.sh"


def bench(ranks, *arguments):
    command = [MPIRUN, "--bind-to", "none", "-n", str(ranks), PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200,
                          stdin=subprocess.DEVNULL)


class GossipBench(unittest.TestCase):
    def check(self, ranks, arguments, metrics):
        run = bench(ranks, "--repetitions", "1", *arguments)

        self.assertEqual(run.returncode, 0, run.stderr)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual([line["metric"] for line in lines], metrics)
        for line in lines:
            self.assertEqual(list(line), ["benchmark", "metric", "value", "unit", "params"])
            self.assertGreater(line["value"], 0)
            self.assertIn(f"`{line['metric']}`", DOCUMENT)

    def test_pair(self):
        self.check(2, ["pair", "--bytes", "3000000"],
                   ["fused_average_over_memcpy", "fused_average_over_allreduce",
                    "asynchronous_average_over_memcpy"])

    def test_drift(self):
        self.check(4, ["drift", "--steps", "10"], ["mean_drift"] * 4)

    def test_membership(self):
        self.check(1, ["membership", "--ranks", "5", "--seconds", "1"],
                   ["oldest_median", "oldest_p99", "oldest_longest"])

    def test_neighbor(self):
        self.check(4, ["neighbor", "--rounds", "10"],
                   ["neighbor_average_4kb_over_sendrecv", "neighbor_average_4kb_microseconds"])

    def test_setup(self):
        self.check(2, ["setup"], ["setup_over_first_touch"])

    def test_checkpoint(self):
        self.check(1, ["checkpoint", "--bytes", "1000000"],
                   ["checkpoint_stall_over_memcpy", "checkpoint_write_seconds",
                    "checkpoint_resume_seconds", "checkpoint_bytes"])

    def test_overhead(self):
        self.check(1, ["overhead", "--iterations", "2"], ["single_rank_overhead"])

    def test_numbers_out_of_range_are_refused(self):
        for arguments in (["pair", "--bytes", "-1"], ["pair", "--bytes", "18446744073709551616"],
                          ["neighbor", "--rounds", "10x"], ["drift", "--steps", "0"]):
            run = bench(1, *arguments)

            self.assertNotEqual(run.returncode, 0)
            self.assertIn(f"{arguments[1]}: '{arguments[2]}' is not a whole number between ",
                          run.stderr)

    def test_optimizers_measure_as_often_as_time_allows(self):
        only = ["--only", "gossip-sgd", "--seconds", "0"]

        run = bench(2, "--repetitions", "50", "optimizers", *only)

        self.assertEqual(run.returncode, 0, run.stderr)
        line, = map(json.loads, run.stdout.splitlines())
        self.assertEqual(line["metric"], "steps_over_gossip_sgd")
        self.assertEqual(line["params"]["repetitions"], 1)

    def test_a_benchmark_that_takes_too_long_is_ended_and_says_so(self):
        script = f"source '{LIBRARY}'; gossip_mpirun 1 1 sleep 60; echo done"

        run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)

        self.assertEqual(run.returncode, 124)
        self.assertIn("sleep was ended after 1 s", run.stderr)
        self.assertEqual(run.stdout, "")

    def test_wrong_number_of_ranks_is_refused(self):
        run = bench(1, "pair")

        self.assertNotEqual(run.returncode, 0)
        self.assertIn("needs 2 ranks, not 1", run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
