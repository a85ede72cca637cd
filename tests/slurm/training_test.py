#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The job scripts of slurm/ train: on the login node of a cluster.

Usage: scripts/slurm-cluster --nodes 4 --cpus 8 --gpus 2 -- training_test.py RUNTIME_PROGRAM
"""

import re
import sys
import unittest

from login_node import CLUSTER, run, wait_until
from training import PAIR, TrainingTest, lines, result

RUNTIME_PROGRAM = sys.argv[1]
FOUR = ["--nodes=4", "--ntasks-per-node=1", "--cpus-per-task=1"]


class Training(TrainingTest):
    def results_of(self, job):
        return self.folder / "runs" / f"{job.field('JobName')}-{job.number}"

    def test_srun_and_mpirun_train_alike(self):
        losses = {}
        for options in (PAIR, FOUR):
            jobs = [self.submit(script, "--data", self.data, "--epochs", 2, options=options)
                    for script in ("train", "train-mpirun")]
            for job in jobs:
                self.assert_ends(job, "COMPLETED", "between hosts: ", "== done")
                found = result(self.results_of(job))
                self.assertEqual((found["status"], found["size"]), ("complete", 4))
                self.assertEqual(found["transport"], "shared+message" if options is PAIR
                                 else "message")
            losses[options[0]] = {result(self.results_of(job))["loss"] for job in jobs}
        self.assertEqual([len(different) for different in losses.values()], [1, 1], losses)

    def test_eight_ranks_on_four_nodes(self):
        job = self.submit("train", "--data", self.data, "--epochs", 1, "--optimizer", "ad-psgd",
                          options=["--nodes=4", "--ntasks-per-node=2", "--cpus-per-task=1"])

        self.assert_ends(job, "COMPLETED", "on each 2 tasks of 1 cores")
        self.assertEqual(result(self.results_of(job))["size"], 8)

    def test_each_rank_has_the_gpu_of_its_number_on_the_node(self):
        for script in ("train", "train-mpirun"):
            job = self.submit(script, "gpus", options=[*PAIR, "--gpus-per-node=2"],
                              env={"GOSSIP_PROGRAM": RUNTIME_PROGRAM})

            self.assert_ends(job, "COMPLETED")
            for rank in range(4):
                self.assertIn(f"rank {rank}: local rank {rank % 2} of 2, GPU {rank % 2}\n",
                              job.output())
            self.assertNotIn("warning", job.output())

    def test_what_is_wrong_is_the_first_message(self):
        for data, rate, text in ((self.data, 1e6, "training diverged at learning rate"),
                                 ("/none", 0.1, "/none")):
            job = self.submit("train", "--data", data, "--lr", rate, options=PAIR)

            self.assert_ends(job, "FAILED", "the program ended with status")
            self.assertIn(text, re.search(r"gossip\[\d\]: error: .*", job.output()).group(0))

    def test_a_sweep_leaves_a_folder_for_each_run(self):
        (self.folder / "list.toml").write_text(
            f'data = "{self.data}"\nepochs = 1\n[[runs]]\noptimizer = "gossip-sgd"\n'
            'topology = ["ring", "complete"]\n[[runs]]\noptimizer = "allreduce"\n')
        job = self.submit("array", options=[*PAIR, "--array=0-2"],
                          env={"GOSSIP_SWEEP": str(self.folder / "list.toml")})

        self.assert_ends(job, "COMPLETED")
        folders = sorted((self.folder / "runs" / f"gossip-sweep-{job.number}").iterdir())
        self.assertEqual([folder.name for folder in folders],
                         ["0-gossip-sgd-ring", "1-gossip-sgd-complete", "2-allreduce"])
        self.assertEqual([(result(folder)["optimizer"], result(folder)["topology"])
                          for folder in folders],
                         [("gossip-sgd", "ring"), ("gossip-sgd", "complete"),
                          ("allreduce", "none")])

    def test_the_benchmark_ends_with_a_report(self):
        job = self.submit("bench", "--bytes", 300000, "--step", 5, "--seconds", 0.2, "--figures",
                          "allreduce,steps", options=PAIR,
                          env={"GOSSIP_BENCH_TRAINING": f"--epochs 1 --data {self.data}",
                               "GOSSIP_BENCH_REPETITIONS": "1"})

        self.assert_ends(job, "COMPLETED")
        report = job.output().split("== report", 1)[1]
        self.assertEqual(report.split("\n", 1)[1].split("== done")[0],
                         (self.results_of(job) / "report.txt").read_text())
        for text in ("Gossip and all-reduce on node[1-2] (4 tasks)", "GOSSIP_TRANSPORT=",
                     "gossip_over_allreduce", "gossip-sgd"):
            self.assertIn(text, report)

    def lose_a_node(self):
        """In a fault-tolerant job of three, after the one checkpoint, in the middle of the run."""
        job = self.submit("fault-tolerant", "--data", self.data, "--epochs", 40, "--log-every", 1,
                          options=["--nodes=3", "--cpus-per-task=1"],
                          env={"GOSSIP_NEIGHBOR_TIMEOUT": "5", "GOSSIP_CHECKPOINT_EVERY": "120"})
        self.addCleanup(run, CLUSTER, "boot", "node3")
        folder = self.folder / "runs" / f"gossip-fault-tolerant-{job.number}"
        self.assertTrue(wait_until(lambda: list(folder.glob("checkpoints/*/manifest.json"))),
                        job.output())

        run(CLUSTER, "fail", "node3")
        return job, folder

    def test_survivors_of_a_lost_node_finish(self):
        job, folder = self.lose_a_node()

        # A rank that happens to send to the lost one at that moment may be lost with it
        # (docs/slurm.md).
        self.assert_ends(job, "COMPLETED")
        self.assertEqual(result(folder)["status"], "complete")
        if "starts again on node[1-2]" in job.output():
            return
        steps = [lines(folder, rank)[-1]["step"] for rank in range(3)]
        self.assertRegex(job.output(), "goes on without rank [12], which")
        self.assertGreater(steps[0] + steps[1], 2 * 40 * 6)
        self.assertLess(steps[2], 40 * 6)
        self.assertIsNone(result(folder).get("test_accuracy_mean_model"))

    def test_survivors_that_end_too_start_again(self):
        job, folder = self.lose_a_node()

        run("scancel", "--signal=KILL", f"{job.number}.0")

        self.assert_ends(job, "COMPLETED", "starts again on node[1-2]", "resumed from")
        self.assertEqual((result(folder)["status"], result(folder)["size"]), ("complete", 2))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
