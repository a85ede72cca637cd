#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gossip-bench hosts, tiny and on one machine, prints the metrics that docs/benchmarks.md defines.

Usage: hosts_test.py GOSSIP_BENCH MPIRUN
"""

import json
import sys
import unittest

import bench_program

METRICS = [
    "exchange_over_wire",
    "allreduce_over_wire",
    "gossip_over_no_communication",
    "gossip_over_allreduce",
    "link_utilization",
    "averages_per_second_and_rank",
    "averages_per_step_and_rank",
    "staleness_steps_median",
    "staleness_steps_p95",
    "communication_thread_cpu_share",
    "others_pace_with_one_rank_4x_slow",
    "others_pace_with_one_rank_4x_slow_allreduce",
    "compute_slowdown",
    "gossip_over_no_communication_on_cpu",
    "gossip_over_allreduce_on_cpu",
]


def hosts(*arguments, link="1gbit"):
    tiny = ["--repetitions", "1", "hosts", "--bytes", "300000", "--step", "5", "--seconds", "0.2"]
    return bench_program.on_one_machine(2, *tiny, "--link", link, *arguments,
                                        GOSSIP_RANKS_PER_MEMORY="1", GOSSIP_TRANSPORT="message")


class Hosts(unittest.TestCase):
    def test_prints_every_metric(self):
        run = hosts()

        self.assertEqual(run.returncode, 0, run.stderr)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual([line["metric"] for line in lines], METRICS)
        for line in lines:
            self.assertEqual(list(line), ["benchmark", "metric", "value", "unit", "params"])
            self.assertIn(f"`{line['metric']}`", bench_program.DOCUMENT)
            self.assertGreaterEqual(line["value"], 0)
            self.assertEqual(line["params"]["link"], "1gbit")
            self.assertEqual(line["params"]["transport"], "message")
            self.assertRegex(line["params"]["mpi"], r"^[A-Z].* \d+\.\d+")

    def test_only_some_figures(self):
        run = hosts("--figures", "exchange")

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual([json.loads(line)["metric"] for line in run.stdout.splitlines()],
                         METRICS[:1])

    def test_a_rate_that_is_none_is_refused(self):
        run = hosts("--figures", "exchange", link="fast")

        self.assertNotEqual(run.returncode, 0)
        self.assertIn("'fast' is no rate of a link", run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
