#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slurm/requeue.sbatch: a training that is interrupted ends as one that is not.

On the login node of a cluster.

Usage: scripts/slurm-cluster --nodes 4 --cpus 8 --gpus 2 -- requeue_test.py
"""

import unittest

from login_node import CLUSTER, SECONDS, run, wait_until
from training import PAIR, TrainingTest, lines, result

EPOCHS = 30
STEPS = 4  # of an epoch
FIGURES = ("status", "step", "loss", "test_accuracy_mean_model", "consensus_distance")


class Requeue(TrainingTest):
    images = STEPS * 4 * 64
    uninterrupted = None  # the figures of such a run, once there was one

    def train(self, script, *arguments, options=(), env=None):
        return self.submit(script, "--data", self.data, "--epochs", EPOCHS, "--log-every", 1,
                           *arguments, options=[*PAIR, *options], env=env)

    def folder_of(self, job):
        return self.folder / "runs" / f"{job.field('JobName')}-{job.number}"

    def steps(self, job):
        """Made so far, as rank 0 recorded."""
        return max([0,
                    *(line["step"] for line in lines(self.folder_of(job), 0)
                      if line["event"] == "step")])

    def wait_for_steps(self, job, steps):
        self.assertTrue(wait_until(lambda: self.steps(job) >= steps), job.output())
        self.assertLess(self.steps(job), EPOCHS * STEPS, "it is over before it can be interrupted")

    def figures(self, job):
        found = result(self.folder_of(job))
        return {name: found[name] for name in FIGURES}

    def assert_ends_as_uninterrupted(self, job):
        self.assert_ends(job, "COMPLETED", "restart 1", "resumed from", "== done")
        self.assertEqual(job.field("Restarts"), "1")
        if Requeue.uninterrupted is None:
            plain = self.train("train")
            self.assert_ends(plain, "COMPLETED")
            Requeue.uninterrupted = self.figures(plain)
        self.assertEqual(self.figures(job), Requeue.uninterrupted)
        recorded = {line["step"] for line in lines(self.folder_of(job), 0)
                    if line["event"] == "step"}
        self.assertEqual(recorded, set(range(1, EPOCHS * STEPS + 1)))

    def test_a_signal_before_the_time_limit(self):
        job = self.train("requeue")
        self.wait_for_steps(job, 10)

        run("scancel", "--batch", "--signal=USR1", job.number)  # what --signal=B:USR1@300 sends

        self.assert_ends_as_uninterrupted(job)
        self.assertIn("a signal came: saving", job.output())
        self.assertIn("the job queues again", job.output())

    def test_a_job_that_goes_first_takes_the_nodes(self):
        job = self.train("requeue")
        self.wait_for_steps(job, 10)

        urgent = run("sbatch", "--parsable", "--partition=urgent", "--nodes=4", "--exclusive",
                     "--output=urgent", "--wrap", "sleep 1", cwd=self.folder).stdout.strip()

        ended = run(CLUSTER, "wait", SECONDS, urgent, seconds=SECONDS + 30)
        self.assertEqual(ended.stdout, f"{urgent} COMPLETED\n")
        self.assert_ends_as_uninterrupted(job)
        self.assertIn("a signal came: saving", job.output())

    def test_a_node_is_lost(self):
        job = self.train("requeue", env={"GOSSIP_CHECKPOINT_EVERY": "8"})
        checkpoints = self.folder_of(job) / "checkpoints"
        self.assertTrue(wait_until(lambda: list(checkpoints.glob("*/manifest.json"))), job.output())
        self.wait_for_steps(job, 20)

        run(CLUSTER, "fail", "node2")
        run(CLUSTER, "boot", "node2")

        self.assert_ends_as_uninterrupted(job)

    def test_ranks_without_a_common_pace_go_on_too(self):
        # At the rate of the other tests it diverges now and then, with or without an interruption.
        job = self.train("requeue", "--optimizer", "ad-psgd", "--lr", "0.05")
        self.wait_for_steps(job, 10)

        run("scancel", "--batch", "--signal=TERM", job.number)

        self.assert_ends(job, "COMPLETED", "restart 1", "resumed from")
        found = result(self.folder_of(job))
        self.assertEqual(found["status"], "complete")
        self.assertGreaterEqual(found["job_steps"], EPOCHS * STEPS * 4)
        self.assertLess(found["job_steps"], EPOCHS * STEPS * 5)
        self.assertLess(found["loss"], 1.0)


if __name__ == "__main__":
    unittest.main()
