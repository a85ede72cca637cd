# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/plot_runs.py on made-up runs."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "scripts", "plot_runs.py")
spec = importlib.util.spec_from_file_location("plot_runs", SCRIPT)
plot_runs = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(plot_runs)


def write_run(folder, optimizer="gossip-sgd", ranks=2, epochs=3, result=True, **extra):
    """A run of 20 steps a training epoch."""
    os.makedirs(folder)
    who = {"size": ranks, "optimizer": optimizer, "topology": "ring", "transport": "shared",
           "parameters": 1000}
    for rank in range(ranks):
        lines = [{"event": "start", "schema": 1, "rank": rank, "status": "running", **who}]
        for step in range(5, 20 * epochs + 1, 5):
            lines.append({"event": "step", "rank": rank, "epoch": 1 + (step - 1) // 20,
                          "step": step,
                          "seconds": step * 0.1, "loss": 1 / step + rank,
                          "bytes_sent": 4000 * step})
            if step % 20 == 0:
                lines.append({"event": "epoch", "rank": rank, "epoch": step // 20, "step": step,
                              "seconds": step * 0.1,
                              "loss": 0.5, "test_accuracy_mean_model": 0.9 + step / 1000,
                              "bytes_sent": 4000 * step,
                              "consensus_distance": 0.01, "images_per_second": 9000.0,
                              "status": "running", **extra})
        with open(os.path.join(folder, f"metrics.rank{rank}.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    if result:
        with open(os.path.join(folder, "result.json"), "w", encoding="utf-8") as file:
            json.dump({"schema": 1, "status": "complete", **who, "step": 20 * epochs,
                       "seconds": 7.5,
                       "bytes_sent": 4000 * 20 * epochs, "test_accuracy_mean_model": 0.96,
                       "images_per_second": 12345.0, "consensus_distance": 0.0123, **extra}, file)


def run_script(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True,
                          check=False)


class PlotRuns(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)

    def path(self, name):
        return os.path.join(self._folder.name, name)

    def test_table_shows_every_run(self):
        write_run(self.path("a"))
        write_run(self.path("b"), optimizer="allreduce", bytes_nominal=True)

        done = run_script(self.path("a"), self.path("b"))

        self.assertEqual(done.returncode, 0, done.stderr)
        _, _, first, second = done.stdout.splitlines()
        for text in ("gossip-sgd, ring", "complete", "96.00 %", "7.5 s", "12,345", "4 kB",
                     "0.0123"):
            self.assertIn(text, first)
        self.assertNotIn("nominal", first)
        self.assertIn("4 kB (nominal)", second)

    def test_a_run_without_result_shows_its_latest_figures(self):
        write_run(self.path("a"), result=False)

        run = plot_runs.Run(self.path("a"))

        self.assertEqual(run.status, "unfinished")
        self.assertAlmostEqual(run.last("test_accuracy_mean_model"), 0.96)
        self.assertAlmostEqual(run.last("seconds"), 6.0)

    def test_loss_is_the_mean_over_the_ranks(self):
        write_run(self.path("a"))

        run = plot_runs.Run(self.path("a"))

        self.assertAlmostEqual(run.steps[0]["loss"], 1 / 5 + 0.5)

    def test_runs_of_the_same_name_are_told_apart(self):
        write_run(self.path("a"))
        write_run(self.path("b"))

        labels = plot_runs.unique_labels([plot_runs.Run(self.path("a")),
                                          plot_runs.Run(self.path("b"))])

        self.assertEqual(labels, ["gossip-sgd, ring (a)", "gossip-sgd, ring (b)"])

    def test_a_line_cut_off_at_the_end_is_dropped(self):
        write_run(self.path("a"))
        with open(self.path("a/metrics.rank0.jsonl"), "a", encoding="utf-8") as file:
            file.write('{"event": "step", "ra')

        self.assertEqual(len(plot_runs.Run(self.path("a")).epochs), 3)

    def test_steps_that_a_resumed_run_makes_again_count_once(self):
        write_run(self.path("a"), ranks=1)
        path = os.path.join(self.path("a"), "metrics.rank0.jsonl")
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        again = [line.replace('"loss": ', '"loss": 10') for line in lines if '"step": 6' in line
                 or '"step": 5' in line]
        with open(path, "a", encoding="utf-8") as file:
            file.write('{"event": "st\n')  # killed here
            file.write('{"event":"resume","rank":0,"step":45}\n')
            file.writelines(again)

        run = plot_runs.Run(self.path("a"))

        self.assertEqual([row["step"] for row in run.steps], list(range(5, 61, 5)))
        self.assertEqual([row["step"] for row in run.epochs], [20, 40, 60])
        self.assertGreater(run.steps[-1]["loss"], 10)
        self.assertLess(run.steps[8]["loss"], 10)

    def test_a_broken_line_is_named(self):
        write_run(self.path("a"))
        with open(self.path("a/metrics.rank0.jsonl"), "w", encoding="utf-8") as file:
            file.write('broken\n{"event": "start"}\n')

        done = run_script(self.path("a"))

        self.assertEqual(done.returncode, 1)
        self.assertIn("metrics.rank0.jsonl:1", done.stderr)

    def test_a_folder_without_a_run_is_named(self):
        os.makedirs(self.path("empty"))

        for name in ("empty", "missing"):
            done = run_script(self.path(name))
            self.assertEqual(done.returncode, 1)
            self.assertIn(self.path(name), done.stderr)

    def test_picture_is_drawn_also_of_odd_runs(self):
        write_run(self.path("plain"))
        write_run(self.path("short"), epochs=1, result=False)
        write_run(self.path("diverged"), result=False)
        with open(self.path("diverged/metrics.rank0.jsonl"), "a", encoding="utf-8") as file:
            file.write('{"event": "step", "rank": 0, "epoch": 4, "step": 65, "seconds": 7, '
                       '"loss": null}\n')
        os.makedirs(self.path("started"))
        with open(self.path("started/metrics.rank0.jsonl"), "w", encoding="utf-8") as file:
            file.write('{"event": "start", "optimizer": "x"}\n')

        runs = [self.path(name) for name in ("plain", "short", "diverged", "started")]
        for number, chosen in enumerate([runs, runs[3:]]):
            picture = self.path(f"{number}.png")
            done = run_script(*chosen, "--out", picture, "--table")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(picture, "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")

    def test_a_picture_that_cannot_be_written_is_named(self):
        write_run(self.path("a"))

        done = run_script(self.path("a"), "--out", self.path("missing/a.png"))

        self.assertEqual(done.returncode, 1)
        self.assertIn("missing/a.png", done.stderr)
        self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
