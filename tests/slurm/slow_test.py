#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What takes minutes: Slurm's time limits, and many starts. On the login node of a cluster.

Usage: scripts/slurm-cluster --nodes 4 --cpus 8 --gpus 2 -- slow_test.py RUNTIME_PROGRAM
"""

import sys
import unittest

from login_node import OnLoginNode, wait_until
from training import PAIR, TrainingTest, lines

RUNTIME_PROGRAM = sys.argv[1]
ENDLESS = ["--epochs", 1000000, "--log-every", 10]


class TimeLimit(TrainingTest):
    def test_a_training_ends_at_it(self):
        job = self.submit("train", "--data", self.data, *ENDLESS, options=[*PAIR, "--time=1"])

        self.assert_ends(job, "TIMEOUT", "DUE TO TIME LIMIT", seconds=240)

    def test_a_requeued_one_goes_on_after_it(self):
        # Slurm looks twice a minute, and may send the signal a minute early.
        job = self.submit("requeue", "--data", self.data, *ENDLESS,
                          options=[*PAIR, "--time=2", "--signal=B:USR1@60"])
        self.assertTrue(job.prints("the job queues again", seconds=240), job.output())
        folder = self.folder / "runs" / f"gossip-requeue-{job.number}"
        saved = lines(folder, 0)[-1]["step"]

        went_on = wait_until(lambda: lines(folder, 0)[-1]["step"] > saved, 240)

        self.assertTrue(went_on, job.output())
        self.assertIn("restart 1", job.output())


class Starts(OnLoginNode):
    def test_none_fails_with_slurms_own_fence(self):
        job = self.submit("train", "returns",
                          options=["--nodes=4", "--ntasks-per-node=1", "--cpus-per-task=1",
                                   "--array=1-80",
                                                   "--output=%x-%A_%a.out"],
                          env={"GOSSIP_PROGRAM": RUNTIME_PROGRAM})

        self.assert_ends(job, "COMPLETED", seconds=600)
        self.assertEqual(job.output().count("body of 4\n"), 80)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
