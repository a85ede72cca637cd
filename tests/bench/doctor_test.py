#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gossip-bench doctor tests the transports between hosts, and a broken one is a line of its table.

Usage: doctor_test.py GOSSIP_BENCH MPIRUN [scripts/hosts]
With scripts/hosts on two hosts of this machine, else on ranks that pretend to be hosts.
"""

import json
import pathlib
import sys
import tempfile
import unittest

import bench_program

FIGURES = ["latency_us", "one_way", "both_ways", "while_busy_ms"]


class Doctor(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name) / "doctor.json"

    def examine(self, run, ranks):
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout,
                         r"(Set |Both work; )GOSSIP_TRANSPORT=(rma|message)")
        result = json.loads(self.out.read_text())
        self.assertEqual(result["hosts"], ranks)
        self.assertEqual(len(result["tested"]), ranks * (ranks - 1) // 2)
        for pair in result["tested"]:
            self.assertEqual(pair["message"]["error"], "")
            for transport in ["rma", "message"]:
                test = pair[transport]
                for figure in FIGURES:
                    self.assertEqual(test[figure] > 0, test["error"] == "", (transport, test))
        return result


@unittest.skipIf(bench_program.HOSTS, "on hosts")
class OnOneMachine(Doctor):
    def run_doctor(self, ranks, *arguments, **variables):
        return bench_program.on_one_machine(
            ranks, "doctor", "--out", str(self.out), *arguments,
            **{"GOSSIP_RANKS_PER_MEMORY": "1", **variables})

    def test_tests_every_pair(self):
        result = self.examine(self.run_doctor(3), 3)

        self.assertEqual(sorted(pair["ranks"] for pair in result["tested"]),
                         [[0, 1], [0, 2], [1, 2]])

    def test_what_is_broken_is_reported(self):
        run = self.run_doctor(2, OMPI_MCA_osc="^sm,rdma,ucx,pt2pt,portals4")

        if "MPICH" in run.stdout:
            self.skipTest("MPICH always has windows")
        result = self.examine(run, 2)
        self.assertNotEqual(result["tested"][0]["rma"]["error"], "")
        self.assertRegex(run.stdout, r"rma fails between .* and .*: .*")
        self.assertIn("Set GOSSIP_TRANSPORT=message", run.stdout)

    def test_ends_when_its_time_is_over(self):
        run = self.run_doctor(4, "--time", "0")

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(json.loads(self.out.read_text())["tested"], [])

    def test_ranks_that_share_memory_need_no_transport(self):
        run = self.run_doctor(2, GOSSIP_RANKS_PER_MEMORY="0")

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("All ranks share memory", run.stdout)


@unittest.skipIf(not bench_program.HOSTS, "on one machine")
class OnHosts(Doctor):
    def test_tests_two_hosts(self):
        result = self.examine(bench_program.on_hosts(2, "doctor", "--out", str(self.out)), 2)

        self.assertEqual(result["tested"][0]["hosts"], ["host1", "host2"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
