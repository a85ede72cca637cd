#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fashion_mnist is stopped by signals and goes on from its checkpoints.

Usage: checkpoints_test.py FOLDER_OF_THE_PROGRAMS MPIRUN [unittest's options]
"""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from example_program import SECONDS, ExampleTest
from small_fashion_mnist import write_small_data

PROGRAMS, MPIRUN = pathlib.Path(sys.argv[1]), sys.argv[2]
RANKS = 4
STEPS = 18  # of a rank in an epoch: 600 images, 4 ranks, batches of 8
EPOCHS = 3
ENDLESS = 1000  # epochs: an asynchronous run is not over before its signal comes
SLOWLY = ["--slow-rank", "0:10"]  # so that a synchronous run is not over before it can be stopped


def children(pid):
    """The processes that `pid` has started itself."""
    return [int(child)
            for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Checkpoints(ExampleTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.data = write_small_data(pathlib.Path(folder.name))

    def start(self, name, *arguments, ranks=RANKS, epochs=EPOCHS):
        """Starts a run whose output and checkpoints lie in folders of that name."""
        command = [MPIRUN, "--bind-to", "none", "-n", str(ranks), PROGRAMS / "fashion_mnist",
                   "--data", self.data, "--batch-size", 8, "--epochs", epochs, "--log-every", 1,
                   "--out", self.folder / f"{name}-out",
                   "--checkpoint", self.folder / name, *arguments]
        return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, process):
        output, errors = process.communicate(timeout=SECONDS)
        return process.returncode, output + errors

    def run_to_end(self, name, *arguments, ranks=RANKS):
        return self.end(self.start(name, *arguments, ranks=ranks))

    def started(self, name, process):
        """Waits until rank 0 has begun to train."""
        metrics = self.folder / f"{name}-out" / "metrics.rank0.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.read_text()):
            time.sleep(0.01)

    def stop(self, name, *arguments, number=signal.SIGUSR1, of_one_rank=False, epochs=EPOCHS):
        """Starts a run and stops it by a signal."""
        process = self.start(name, *arguments, epochs=epochs)
        self.started(name, process)
        target = children(process.pid)[-1] if of_one_rank else process.pid
        subprocess.run(["kill", f"-{number}", str(target)], check=True)
        return self.end(process)

    def sets(self, name):
        return sorted(int(path.parent.name[5:])
                      for path in (self.folder / name).glob("step-*/manifest.json"))

    def result(self, name):
        return json.loads((self.folder / f"{name}-out" / "result.json").read_text())

    def records(self, name):
        """What a run has written of itself."""
        return {path.name: path.read_bytes() for path in (self.folder / f"{name}-out").iterdir()}

    def assert_same_end(self, one, other, step, ranks=RANKS):
        """Of two runs the sets of their last step hold the same bits."""
        for rank in range(ranks):
            names = [self.folder / name / f"step-{step}" / f"rank-{rank}.safetensors"
                     for name in (one, other)]
            data = [path.read_bytes() for path in names]
            bodies = [file[8 + int.from_bytes(file[:8], "little") :] for file in data]
            self.assertGreater(len(bodies[0]), 4 * 207178)
            self.assertEqual(bodies[0] == bodies[1], True, f"rank {rank} of {one} and {other}")

    def check_continues(self, *arguments):
        total = EPOCHS * STEPS
        every = ["--checkpoint-every", total, *arguments]
        status, output = self.run_to_end("whole", *every)
        self.assertEqual(status, 0, output)
        status, output = self.stop("parts", *every, *SLOWLY)
        self.assertEqual(status, 99, output)
        (stopped,) = self.sets("parts")
        self.assertGreater(stopped, 0)
        self.assertLess(stopped, total)
        self.assertFalse((self.folder / "parts-out" / "result.json").exists())
        status, output = self.run_to_end("parts", "--resume", *every)
        self.assertEqual(status, 0, output)
        self.assert_same_end("whole", "parts", total)
        whole, parts = self.result("whole"), self.result("parts")
        for field in ("loss", "step", "samples", "consensus_distance", "test_accuracy_mean_model",
                      "epoch", "job_steps", "gossip_rounds", "bytes_sent", "status"):
            self.assertEqual(whole[field], parts[field], field)
        return stopped

    def test_gossip_sgd_goes_on_to_the_bit(self):
        stopped = self.check_continues("--optimizer", "gossip-sgd", "--local-optimizer", "adamw",
                                       "--lr", 0.003)
        events = lines_of(self.folder / "parts-out" / "metrics.rank1.jsonl")
        (resume,) = [index for index, line in enumerate(events) if line["event"] == "resume"]
        self.assertEqual((events[resume]["step"], events[resume]["exact"]), (stopped, True))
        self.assertEqual(events[resume]["checkpoint"], f"step-{stopped}")
        self.assertEqual([line["event"] for line in events].count("start"), 1)
        self.assertEqual([line["epoch"] for line in events if line["event"] == "epoch"], [1, 2, 3])
        steps = [line["step"] for line in events if line["event"] == "step"]
        self.assertEqual(steps, list(range(1, EPOCHS * STEPS + 1)))
        seconds = [line["seconds"] for line in events[resume - 1 :]]
        self.assertEqual(seconds, sorted(seconds))

    def test_allreduce_goes_on_to_the_bit(self):
        self.check_continues("--optimizer", "allreduce", "--momentum", 0.9)

    def test_gradient_tracking_goes_on_to_the_bit(self):
        self.check_continues("--optimizer", "gradient-tracking", "--topology", "ring", "--lr", 0.05)

    def test_push_sum_goes_on_to_the_bit(self):
        self.check_continues("--optimizer", "push-sum", "--topology", "directed-ring",
                             "--local-optimizer", "adamw", "--lr", 0.003)

    def test_diloco_goes_on_to_the_bit(self):
        self.check_continues("--optimizer", "diloco", "--local-steps", 4, "--local-optimizer",
                             "adamw", "--lr", 0.003)

    def test_choco_goes_on_to_the_bit(self):
        self.check_continues("--optimizer", "choco-sgd", "--topology", "ring", "--momentum", 0,
                             "--lr", 0.05)

    def test_a_signal_to_one_rank_stops_all_at_one_cut(self):
        for number in (signal.SIGTERM, signal.SIGUSR2):
            name = f"signal-{number}"
            status, output = self.stop(name, "--optimizer", "gossip-sgd", *SLOWLY, number=number,
                                       of_one_rank=True)
            self.assertEqual(status, 99, output)
            (stopped,) = self.sets(name)
            steps = {
                json.loads(
                    (self.folder / name / f"step-{stopped}" / f"rank-{rank}.json").read_text())[
                        "steps"]
                     for rank in range(RANKS)}
            self.assertEqual(steps, {stopped})
            self.assertIn("stopped by a signal", output)

    def test_asynchronous_runs_go_on(self):
        images = 2400
        steps = images // RANKS // 8
        self.data = write_small_data(self.folder / "data", images)
        for arguments in (["push-sum", "--overlap"], ["a2cid2", "--topology", "ring"]):
            name = arguments[0]
            arguments = ["--optimizer", *arguments, "--lr", 0.02, "--slow-rank", "1:3"]
            status, output = self.stop(name, *arguments, epochs=ENDLESS)
            self.assertEqual(status, 99, output)
            (stopped,) = self.sets(name)
            manifest = json.loads(
                (self.folder / name / f"step-{stopped}" / "manifest.json").read_text())
            self.assertEqual(sum(entry["steps"] for entry in manifest["ranks"]), stopped)
            self.assertAlmostEqual(sum(entry["weight"] for entry in manifest["ranks"]), RANKS,
                                   delta=1e-12)
            # The second part keeps the models of the epochs that it begins in.
            status, output = self.run_to_end(name, *arguments, "--resume", "--checkpoint-every",
                                             steps)
            self.assertEqual(status, 0, output)
            result = self.result(name)
            self.assertEqual(result["status"], "complete")
            self.assertGreaterEqual(result["job_steps"], EPOCHS * steps * RANKS)
            last = self.sets(name)[-1]
            self.assertGreater(last, steps * RANKS)
            (self.folder / f"{name}-out" / "result.json").unlink()
            status, output = self.run_to_end(name, *arguments, "--resume")
            self.assertEqual(status, 0, output)
            events = lines_of(self.folder / f"{name}-out" / "metrics.rank0.jsonl")
            again = [index for index, line in enumerate(events)
                     if line.get("checkpoint") == f"step-{last}"][-1]
            epochs = [line for line in events[again:] if line["event"] == "epoch"]
            self.assertEqual([line["epoch"] for line in epochs], [1, 2, 3])
            self.assertGreater(epochs[0]["test_accuracy_mean_model"], 0)

    def test_without_a_checkpoint_a_resumed_run_starts_from_the_beginning(self):
        status, output = self.run_to_end("new", "--optimizer", "gossip-sgd", "--resume", ranks=2)
        self.assertEqual(status, 0, output)
        self.assertIn("starts from the beginning", output)
        events = lines_of(self.folder / "new-out" / "metrics.rank0.jsonl")
        self.assertEqual(events[0]["event"], "start")

    def test_another_number_of_ranks_goes_on_from_the_mean(self):
        for arguments in (["push-sum"], ["a2cid2", "--topology", "ring"]):
            name = arguments[0]
            # Batches of 8 and momentum bear no more with an asynchronous method.
            arguments = ["--optimizer", *arguments, "--lr", 0.02]
            status, output = self.stop(name, *arguments, epochs=ENDLESS)
            self.assertEqual(status, 99, output)
            shutil.rmtree(self.folder / f"{name}-out")
            status, output = self.run_to_end(name, *arguments, "--resume", ranks=2)
            self.assertEqual(status, 0, output)
            self.assertRegex(output,
                             r"by the mean model of 4 of its 4 ranks: "
                             r"2 ranks go on after step \d+ with a fresh")
            (line,) = [line
                       for line in lines_of(self.folder / f"{name}-out" / "metrics.rank0.jsonl")
                       if line["event"] == "resume"]
            self.assertEqual((line["exact"], line["ranks_before"]), (False, 4))
            self.assertGreater(line["job_steps"] if "job_steps" in line else line["step"], 0)
            self.assertEqual(self.result(name)["status"], "complete")
            self.assertGreaterEqual(self.result(name)["step"], EPOCHS * STEPS * RANKS // 2 - 1)

    def assert_refused(self, name, *texts, arguments=(), ranks=RANKS):
        status, output = self.run_to_end(name, *arguments, ranks=ranks)
        self.assertNotIn(status, (0, 99), output)
        errors = [line for line in output.splitlines() if ": error: " in line]
        self.assertEqual(len(errors), 1, output)
        for text in texts:
            self.assertIn(text, errors[0])

    def test_what_does_not_fit_is_refused(self):
        every, seed = ["--checkpoint-every", 2 * STEPS, "--lr", 0.05], 2**64 - 1
        run = [*every, "--seed", seed]
        status, output = self.run_to_end("a", *run, ranks=2)
        self.assertEqual(status, 0, output)
        self.assertEqual(self.sets("a"), [36, 72, 108])
        self.assertEqual(self.result("a")["seed"], seed)

        def refused(*texts, arguments=(), run=run):
            self.assert_refused("a", *texts, arguments=[*run, "--resume", *arguments], ranks=2)

        records = self.records("a")
        self.assertEqual(len(records), 4)
        self.assert_refused("a", "earlier run", "step-108", "--resume", arguments=run, ranks=2)
        refused("'gossip-sgd'", "'allreduce'", arguments=["--optimizer", "allreduce"])
        self.assertEqual(self.records("a") == records, True, "a refused run touched the records")
        refused("'sgd'", "'adamw'", arguments=["--local-optimizer", "adamw"])
        refused("order 0", "order 1", arguments=["--order", "cta"])
        refused(f"with seed {seed}", "2 now", f"Take {seed}", arguments=["--seed", 2], run=every)
        newest = self.folder / "a" / "step-108"
        tensors = newest / "rank-1.safetensors"
        whole = tensors.read_bytes()
        tensors.write_bytes(whole[:-1000])
        refused("On rank 1", "rank-1.safetensors", "cut off", "'step-72'")
        tensors.write_bytes(whole[:5000] + bytes([whole[5000] ^ 4]) + whole[5001:])
        refused("rank-1.safetensors", "checksum", "'step-72'")
        tensors.unlink()
        refused("rank-1.safetensors", "No such file", "--resume-from-mean")
        status, output = self.run_to_end("a", *run, "--resume-from-mean", ranks=2)
        self.assertEqual(status, 0, output)
        self.assertIn("mean model of 1 of its 2 ranks", output)

    def test_options_that_cannot_be_are_named(self):
        for option, value in (("--checkpoint-every", "0"), ("--checkpoint-every", "5x"),
                              ("--keep", "0")):
            self.assert_refused("b", option, value, arguments=[option, value], ranks=1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
