#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program reference_problem as a user starts it.

Usage: program_test.py PROGRAM MPIRUN [unittest's options]
"""

import json
import pathlib
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "examples"))
from example_program import ExampleTest, start  # noqa: E402

PROGRAM, MPIRUN = sys.argv[1], sys.argv[2]
PROBLEM = pathlib.Path(__file__).parent / "quadratic_n8.json"


def run_program(*arguments, ranks=1):
    return start(MPIRUN, "--bind-to", "none", "-n", ranks, PROGRAM, *arguments)


class ReferenceProgram(ExampleTest):
    def test_writes_the_same_in_process_and_on_ranks(self):
        results = []
        for ranks in (1, 8):
            out = self.folder / f"{ranks}.json"
            run = run_program(PROBLEM, "--algorithm", "push_pull_device_sampling",
                              "--iterations", "1,10", "--out", out, ranks=ranks)
            self.assertEqual(run.returncode, 0, run.stderr)
            results.append(json.loads(out.read_text()))
        expected = json.loads(PROBLEM.read_text())["algorithms"]["push_pull_device_sampling"][
            "iterates"]["10"]
        ours = results[0]["algorithms"]["push_pull_device_sampling"]["iterates"]["10"]

        self.assertEqual(results[0], results[1])
        self.assertEqual(ours.keys(), expected.keys())
        self.assertAlmostEqual(ours["x"][5][3], expected["x"][5][3], delta=1e-10)

    def test_names_what_is_wrong(self):
        for arguments, texts in (
            (["none.json", "--algorithm", "kgt"], ["none.json"]),
            ([PROBLEM, "--algorithm", "kgtt"], ["'kgtt'", "'kgt'"]),
            ([PROBLEM, "--algorithm", "kgt", "--iterations", "2,1"], ["ascend"]),
        ):
            self.assert_refused(run_program(*arguments), *texts)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
