#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fashion_mnist is stopped by signals and goes on from its checkpoints.

Usage: checkpoints_test.py FOLDER_OF_THE_PROGRAMS MPIRUN [unittest's options]
"""

import gzip
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAMS, MPIRUN = pathlib.Path(sys.argv[1]), sys.argv[2]
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
SECONDS = 120  # a program that needs longer hangs
RANKS = 4
STEPS = 18  # of a rank in an epoch: 600 images, 4 ranks, batches of 8
EPOCHS = 3


def children(pid):
    """The processes that `pid` has started itself."""
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.data = pathlib.Path(folder.name)
        for path in DATA.glob("*.gz"):
            count = 600 if path.name.startswith("train") else 100
            raw = gzip.decompress(path.read_bytes())
            header, item = (16, 784) if "images" in path.name else (8, 1)
            small = raw[:4] + count.to_bytes(4, "big") + raw[8:header] + raw[header : header + count * item]
            (cls.data / path.name).write_bytes(gzip.compress(small))

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, name, *arguments, ranks=RANKS):
        """Starts a run whose output and checkpoints lie in folders of that name."""
        command = [MPIRUN, "--bind-to", "none", "-n", str(ranks), PROGRAMS / "fashion_mnist", "--data", self.data,
                   "--batch-size", 8, "--epochs", EPOCHS, "--log-every", 1, "--out", self.folder / f"{name}-out",
                   "--checkpoint", self.folder / name, *arguments]
        return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

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

    def stop(self, name, *arguments, number=signal.SIGUSR1, ranks=RANKS, of_one_rank=False):
        """Starts a run and stops it by a signal."""
        process = self.start(name, *arguments, ranks=ranks)
        self.started(name, process)
        target = children(process.pid)[-1] if of_one_rank else process.pid
        subprocess.run(["kill", f"-{number}", str(target)], check=True)
        return self.end(process)

    def sets(self, name):
        return sorted(int(path.parent.name[5:]) for path in (self.folder / name).glob("step-*/manifest.json"))

    def result(self, name):
        return json.loads((self.folder / f"{name}-out" / "result.json").read_text())

    def assert_same_end(self, one, other, step, ranks=RANKS):
        """Of two runs the sets of their last step hold the same bits."""
        for rank in range(ranks):
            names = [self.folder / name / f"step-{step}" / f"rank-{rank}.safetensors" for name in (one, other)]
            data = [path.read_bytes() for path in names]
            bodies = [file[8 + int.from_bytes(file[:8], "little") :] for file in data]
            self.assertGreater(len(bodies[0]), 4 * 207178)
            self.assertEqual(bodies[0] == bodies[1], True, f"rank {rank} of {one} and {other}")

    def check_continues(self, *arguments):
        total = EPOCHS * STEPS
        every = ["--checkpoint-every", total, *arguments]
        status, output = self.run_to_end("whole", *every)
        self.assertEqual(status, 0, output)
        status, output = self.stop("parts", *every)
        self.assertEqual(status, 99, output)
        (stopped,) = self.sets("parts")
        self.assertGreater(stopped, 0)
        self.assertLess(stopped, total)
        self.assertFalse((self.folder / "parts-out" / "result.json").exists())
        status, output = self.run_to_end("parts", "--resume", *every)
        self.assertEqual(status, 0, output)
        self.assert_same_end("whole", "parts", total)
        whole, parts = self.result("whole"), self.result("parts")
        for field in ("loss", "step", "samples", "consensus_distance", "test_accuracy_mean_model", "epoch", "job_steps",
                      "gossip_rounds", "bytes_sent", "status"):
            self.assertEqual(whole[field], parts[field], field)
        return stopped

    def test_gossip_sgd_goes_on_to_the_bit(self):
        stopped = self.check_continues("--optimizer", "gossip-sgd", "--local-optimizer", "adamw", "--lr", 0.003)
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


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
