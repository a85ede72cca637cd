#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example programs as a user starts them: good runs, and bad input, refused in one sentence.

Usage: programs_test.py FOLDER_OF_THE_PROGRAMS MPIRUN [unittest's options]
"""

import json
import pathlib
import shutil
import socket
import sys
import unittest

from example_program import ExampleTest, start
from small_fashion_mnist import DATA, write_small_data

PROGRAMS, MPIRUN = pathlib.Path(sys.argv[1]), sys.argv[2]


def mpirun(*blocks, env=None):
    """Runs `mpirun -n N PROGRAM ARGUMENTS...`, a block [N, PROGRAM, ARGUMENTS...] a kind."""
    command = [MPIRUN, "--bind-to", "none"]
    for index, (ranks, program, *arguments) in enumerate(blocks):
        command += [":"] if index else []
        for pair in env or []:
            command += ["-x", pair]
        command += ["-n", str(ranks), str(PROGRAMS / program), *map(str, arguments)]
    return start(*command)


class Programs(ExampleTest):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "out"

    def train(self, *arguments, ranks=2):
        return mpirun([ranks, "fashion_mnist", "--out", self.out, *arguments])

    def small_data(self):
        return write_small_data(self.folder / "data")

    def assert_refused(self, run, *texts):
        super().assert_refused(run, *texts)
        self.assertFalse((self.out / "result.json").exists())

    def test_quickstart_trains_alike_on_all_ranks(self):
        run = mpirun([2, "quickstart"])

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout,
                         r"^2 ranks, loss of the mean model 0\.\d+, consensus distance \d")

    def test_readme_shows_the_quickstart(self):
        readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
        source = (pathlib.Path(__file__).parents[2] / "examples" / "quickstart.cpp").read_text()
        code = source.split("\n", 2)[2].strip()  # without license and first comment

        self.assertIn(code, readme)
        self.assertLessEqual(len(source.splitlines()), 40)

    def test_both_optimizers_write_a_whole_result(self):
        data = self.small_data()
        for optimizer in ("gossip-sgd", "allreduce"):
            run = self.train("--data", data, "--epochs", 2, "--optimizer", optimizer, "--log-every",
                             2, ranks=3)

            self.assertEqual(run.returncode, 0, run.stderr)
            result = json.loads((self.out / "result.json").read_text())
            self.assertEqual((result["status"], result["size"], result["step"]), ("complete", 3, 6))
            self.assertEqual(result["optimizer"], optimizer)
            for rank in range(3):
                lines = (self.out / f"metrics.rank{rank}.jsonl").read_text().splitlines()
                events = [json.loads(line)["event"] for line in lines]
                self.assertEqual(events, ["start", "step", "epoch", "step", "step", "epoch"])

    def test_a_written_configuration_gives_the_same_run(self):
        data = write_small_data(self.folder / "data #1, the 'first'")
        self.train("--data", data, "--epochs", 1, "--topology", "ring", "--local-optimizer",
                   "adamw", "--lr", "0.01")
        first = json.loads((self.out / "result.json").read_text())
        run = mpirun([2, "fashion_mnist", "--config", self.out / "config.toml", "--out",
                      self.folder / "again"])

        self.assertEqual(run.returncode, 0, run.stderr)
        second = json.loads((self.folder / "again" / "result.json").read_text())
        for field in ("loss", "topology", "consensus_distance", "test_accuracy_mean_model",
                      "local_optimizer"):
            self.assertEqual(first[field], second[field], field)

    def test_asynchronous_optimizers_end_by_the_jobs_samples(self):
        data = self.small_data()
        for arguments in (["push-sum", "--overlap"], ["async-gossip"],
                          ["ad-psgd", "--exchanges-per-step", 0.5],
                          ["a2cid2", "--topology", "ring"],
                          ["dadao", "--topology", "ring", "--weight-decay", 0.05]):
            run = self.train("--data", data, "--epochs", 2, "--log-every", 1, "--lr", 0.02,
                             "--slow-rank", "1:4", "--optimizer", *arguments, ranks=3)

            self.assertEqual(run.returncode, 0, run.stderr)
            result = json.loads((self.out / "result.json").read_text())
            self.assertEqual(result["status"], "complete")
            self.assertGreaterEqual(result["job_steps"], 2 * 3 * 3)
            steps = []
            for rank in range(3):
                lines = [json.loads(line)
                         for line in (self.out / f"metrics.rank{rank}.jsonl").read_text(
                             ).splitlines()]
                epochs = [line for line in lines if line["event"] == "epoch"]
                self.assertEqual([line["epoch"] for line in epochs], [1, 2])
                self.assertEqual([line["status"] for line in epochs], ["running", "complete"])
                self.assertGreaterEqual(epochs[0]["job_steps"], 3 * 3)
                for field in ("test_accuracy_mean_model", "test_accuracy_local",
                              "consensus_distance", "age_p95",
                              "bytes_averaged", "skipped", "neighbors_lost",
                              "suspected", "false_suspicions", "halves_lost", "mass_lost",
                              "communication_cpu_share"):
                    self.assertIn(field, epochs[0])
                self.assertEqual(sum(line["event"] == "step" for line in lines), epochs[-1]["step"])
                steps.append(epochs[-1]["step"])
            self.assertEqual(round(sum(steps) / 3), result["step"])
            self.assertGreaterEqual(sum(steps), 2 * 3 * 3)

    def test_push_sum_in_rounds_on_a_directed_graph(self):
        run = self.train("--data", self.small_data(), "--epochs", 1, "--optimizer", "push-sum",
                         "--topology", "directed-ring", ranks=3)

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(json.loads((self.out / "result.json").read_text())["step"], 3)

    def test_the_transport_that_is_named_is_used(self):
        for transport, expected in (("message", "message"), ("shared", "shared")):
            env = ["GOSSIP_RANKS_PER_MEMORY=1"] if transport == "message" else []
            run = mpirun([2, "fashion_mnist", "--out", self.out, "--data", self.small_data_once(),
                          "--epochs", 1, "--transport", transport], env=env)

            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(json.loads((self.out / "result.json").read_text())["transport"],
                             expected)

    def test_topologies_that_know_hosts_train_and_the_job_is_recorded(self):
        job = ["GOSSIP_RANKS_PER_MEMORY=2", "SLURM_JOB_ID=17", "SLURM_JOB_NAME=train",
               "SLURM_JOB_NODELIST=n[1-2]", "SLURM_JOB_NUM_NODES=2", "SLURM_RESTART_COUNT=1"]
        conf = self.folder / "topology.conf"
        conf.write_text(f"SwitchName=all Nodes={socket.gethostname()}\n")
        for topology in ("hierarchical-one-peer", f"hierarchical-ring:{conf}"):
            run = mpirun([3, "fashion_mnist", "--out", self.out, "--data", self.small_data_once(),
                          "--epochs", 1, "--topology", topology], env=job)

            self.assertEqual(run.returncode, 0, run.stderr)
            result = json.loads((self.out / "result.json").read_text())
            start = json.loads((self.out / "metrics.rank1.jsonl").read_text().splitlines()[0])
            self.assertEqual(result["topology"], topology.split(":")[0])
            for record in (result, start):
                self.assertEqual(
                    [record[field]
                     for field in ("job_id", "job_name", "nodes", "num_nodes", "restart_count")],
                    ["17", "train", "n[1-2]", 2, 1])
                self.assertEqual(record["num_hosts"], 2)
                self.assertRegex(record["hosts"], r"^(.+):2,\1:1$")
                self.assertRegex(record["commit"], r"^(unknown|[0-9a-f]{12,}\*?)$")
                for field in ("version", "mpi", "libtorch", "compiler"):
                    self.assertRegex(record[field], r"\d")
            self.assertRegex(run.stderr,
                             r"gossip\[0\]: Slurm job 17, 'train' .* on n\[1-2\] "
                             r"\(2 nodes\), restarted")
            self.assertEqual(run.stderr.count("ranks: 3 on 2 hosts"), 1, run.stderr)

    def test_a_file_of_switches_that_is_wrong_names_the_line(self):
        conf = self.folder / "topology.conf"
        conf.write_text("SwitchName=all\n")

        self.assert_refused(self.train("--topology", f"hierarchical-ring:{conf}", ranks=1),
                            f"{conf}:1:", "Nodes=")

    def small_data_once(self):
        return self.folder / "data" if (self.folder / "data").exists() else self.small_data()

    def test_a_slow_rank_is_waited_for(self):
        run = self.train("--data", self.small_data(), "--epochs", 1, "--slow-rank", "1:3")

        self.assertEqual(run.returncode, 0, run.stderr)

    def test_list_and_help_end_well(self):
        for option in ("--list", "--help"):
            run = self.train(option)

            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn("gossip-sgd", run.stdout)
            self.assertEqual(run.stdout.count("Fashion-MNIST") + run.stdout.count("Topologies"), 1,
                             run.stdout)

    def test_missing_data_names_file_and_package(self):
        self.assert_refused(self.train("--data", self.folder / "none"), "dataset-fashion-mnist",
                            "none")

    def test_corrupt_data_names_the_file(self):
        data = self.folder / "data"
        shutil.copytree(DATA, data)
        victim = next(data.glob("t10k-images*"))
        victim.unlink()
        victim.write_bytes(next(DATA.glob("t10k-images*")).read_bytes()[:100000])

        self.assert_refused(self.train("--data", data), "t10k-images")

    def test_unknown_names_suggest_near_ones(self):
        for option, name, near in (
            ("--optimizer", "gosip-sgd", "'gossip-sgd'"),
            ("--topology", "rnig", "'ring'"),
            ("--transport", "shard", "'shared'"),
            ("--order", "act", "'atc'"),
            ("--on-lost-neighbor", "dorp", "'drop'"),
            ("--local-optimizer", "sdg", "'sgd'"),
        ):
            self.assert_refused(self.train(option, name, ranks=1), f"'{name}'", "Did you mean",
                                near)

    def test_unknown_option_is_named(self):
        self.assert_refused(self.train("--epoch", 3), "--epoch", "--help")

    def test_numbers_out_of_range_are_named(self):
        for option, value in (("--lr", "0"), ("--lr", "-1"), ("--lr", "nan"), ("--epochs", "0"),
                              ("--momentum", "1"), ("--seed", "18446744073709551616"),
                              ("--seed", "-1"), ("--log-every", "99999999999999999999"),
                              ("--local-steps", "0"), ("--exchanges-per-step", "0"),
                              ("--exchanges-per-step", "1e+20"),
                              ("--neighbor-timeout", "0"), ("--slow-rank", "7:2"),
                              ("--slow-rank", "1-2")):
            self.assert_refused(self.train(option, value, ranks=1), option, value)

    def test_numbers_out_of_range_in_a_file_of_options_are_named(self):
        config = self.folder / "options.toml"
        config.write_text("seed = 18446744073709551616\n")

        self.assert_refused(self.train("--config", config, ranks=1), "--seed",
                            "'18446744073709551616'", "between 0 and 18446744073709551615")

    def test_texts_that_do_not_end_in_a_file_of_options_are_named(self):
        config = self.folder / "options.toml"
        for text in ('"runs', "'runs # where"):
            config.write_text(f"seed = 1  # it's the default\nout = {text}\n")

            self.assert_refused(self.train("--config", config, ranks=1), f"out = {text}", "no end")

    def test_texts_that_config_toml_cannot_hold_are_refused(self):
        for text in ("one\ntwo", "'one' \"two\"", "'one two'"):
            self.assert_refused(self.train("--checkpoint", text, ranks=1), "--checkpoint",
                                "config.toml", text.split("\n")[0])

    def test_a_batch_larger_than_the_shard_names_both(self):
        self.assert_refused(self.train("--data", self.small_data(), "--batch-size", 301), "301",
                            "300")

    def test_ranks_that_disagree_are_told_so(self):
        first = [1, "fashion_mnist", "--out", self.out, "--lr", "0.1"]
        second = [1, "fashion_mnist", "--out", self.out, "--lr", "0.2"]

        self.assert_refused(mpirun(first, second), "disagree on the configuration",
                            "rank 0 has lr=0.1, rank 1 has lr=0.2")

    def test_an_impossible_size_names_the_nearest(self):
        self.assert_refused(self.train("--topology", "hypercube", ranks=3), "hypercube", "2", "4")

    def test_too_little_shared_memory_gives_both_numbers(self):
        # Any file system whose free space is known to be 0 does: /proc.
        run = mpirun([2, "fashion_mnist", "--out", self.out, "--data", self.small_data()],
                     env=["GOSSIP_SHARED_MEMORY_DIR=/proc"])

        self.assert_refused(run, "MiB of shared memory", "0.0 MiB free", "--shm-size")

    def test_an_output_folder_that_cannot_be_written_is_named(self):
        (self.folder / "file").write_text("in the way")
        self.out = self.folder / "file" / "out"

        self.assert_refused(self.train("--data", self.small_data()), str(self.out))

    def test_a_loss_that_is_no_number_names_rank_and_step(self):
        run = self.train("--data", self.small_data(), "--lr", "1e30", "--lr-schedule", "constant")

        self.assertNotEqual(run.returncode, 0)
        self.assertRegex(run.stderr, r"The loss is -?(nan|inf) on rank \d in step \d+")
        self.assertFalse((self.out / "result.json").exists())
        states = [json.loads(line).get("status") for path in self.out.glob("metrics.rank*.jsonl")
                  for line in path.read_text().splitlines()]
        self.assertIn("diverged", states)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
