#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/convex_lab and bench/plot as a user starts them.

Usage: convex_lab_test.py PROGRAM MPIRUN [unittest's options]
"""

import json
import math
import pathlib
import re
import sys
import unittest

from example_program import ExampleTest, start

PROGRAM, MPIRUN = sys.argv[1], sys.argv[2]
BENCH = pathlib.Path(__file__).parents[2] / "bench"
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that has matplotlib on Debian


class ConvexLab(ExampleTest):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "out.jsonl"

    def lab(self, *arguments, ranks=1):
        command = [MPIRUN, "--bind-to", "none", "-n", ranks] if ranks > 1 else []
        return start(*command, PROGRAM, "--out", self.out, *arguments)

    def lines(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def test_a_run_writes_its_lines_and_prints_a_table(self):
        run = self.lab("--method", "dadao,msda", "--workers", 8, "--accuracy", 1e-6)

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r"(?m)^dadao +1\.0e-06 +\d+ +\d+ +.* reached$")
        lines = self.lines()
        self.assertEqual([line["method"] for line in lines if line["event"] == "start"],
                         ["dadao", "msda"])
        first, last = lines[0], next(line for line in lines if line["event"] == "end")
        self.assertEqual((first["problem"]["name"], first["workers"], first["problem"]["L"]),
                         ("quad", 8, 10))
        self.assertEqual(last["status"], "reached")
        self.assertEqual([entry["accuracy"] for entry in last["reached"]],
                         [0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6])
        records = [line for line in lines[: lines.index(last)] if line["event"] == "record"]
        self.assertGreater(len(records), 20)
        for record in records:
            self.assertEqual(record["bytes"], record["communications"] * 2 * 4 * 8)
        for field in ("model_time", "gradients", "communications", "seconds"):
            values = [record[field] for record in records]
            self.assertEqual(values, sorted(values), field)

    def records(self):
        """By method and number of gradients."""
        result, method = {}, None
        for line in self.lines():
            method = line.get("method", method)
            if line["event"] == "record":
                result[method, line["gradients"]] = line
        return result

    def test_staged_methods_do_the_same_on_ranks_as_in_virtual_time(self):
        methods = ["gradient-tracking", "adom-plus", "msda", "push-pull-device-sampling"]
        arguments = ["--method", ",".join(methods), "--accuracy", 1e-4]
        self.assertEqual(self.lab(*arguments, ranks=3).returncode, 0)
        on_ranks = self.records()
        self.assertEqual(self.lab(*arguments, "--workers", 3).returncode, 0)
        alone = self.records()

        for method in methods:
            common = [key for key in on_ranks.keys() & alone.keys() if key[0] == method]
            self.assertGreater(len(common), 3, method)
            for key in common:
                self.assertEqual(on_ranks[key]["communications"], alone[key]["communications"], key)
                self.assertAlmostEqual(on_ranks[key]["error"] / alone[key]["error"], 1, delta=1e-6,
                                       msg=key)

    def test_methods_of_pairs_run_on_ranks(self):
        for _ in range(3):  # ranks that wait for a core have uneven paces
            run = self.lab("--method", "dadao,ad-psgd,a2cid2", "--gradient-seconds", 2e-4,
                           "--max-gradients", 2000, ranks=3)

            self.assertEqual(run.returncode, 0, run.stderr)
            ends = [line for line in self.lines() if line["event"] == "end"]
            if ends[0]["status"] == "reached":
                break
        self.assertEqual([end["status"] for end in ends], ["reached", "stopped", "stopped"])
        for end in ends:
            self.assertGreater(end["communications"], 100)
            self.assertLess(end["error"], 3.0)

    def test_dadao_needs_the_exchanges_of_the_simulation_on_ranks(self):
        def exchanges(*arguments, ranks=1):
            run = self.lab("--topology", topology, *arguments, ranks=ranks)

            self.assertEqual(run.returncode, 0, run.stderr)
            end = self.lines()[-1]
            if end["status"] != "reached":
                return math.inf
            self.assertEqual(end["reached"][-1]["accuracy"], 1e-10)
            return end["reached"][-1]["communications"]

        for ranks in (4, 8):
            for topology in ("ring", "star", "line", "complete"):
                alone = exchanges("--workers", ranks)
                # Ranks that wait for a core have uneven paces: the nearest of three runs counts.
                on_ranks = []
                while len(on_ranks) < 3:
                    on_ranks.append(exchanges("--gradient-seconds", 0.001, ranks=ranks))
                    if abs(on_ranks[-1] / alone - 1) < 0.25:
                        break
                self.assertLess(min(abs(needed / alone - 1) for needed in on_ranks), 0.25,
                                (ranks, topology, on_ranks, alone))

    def test_a_libsvm_file_is_a_problem(self):
        data = self.folder / "data.txt"
        rows = [f"{1 + i * i % 5 % 2} 1:{math.sin(i):.3f} 3:{math.cos(2 * i):.3f}"
                for i in range(24)]
        data.write_text("\n".join(rows))

        run = self.lab("--problem", f"libsvm:{data}", "--workers", 4, "--kappa", 20)

        self.assertEqual(run.returncode, 0, run.stderr)
        problem = self.lines()[0]["problem"]
        self.assertEqual((problem["name"], problem["dimension"], problem["components"]),
                         ("logistic", 3, 6))
        self.assertAlmostEqual(problem["L"] / problem["mu"], 20, delta=1e-9)
        self.assertEqual(self.lines()[-1]["status"], "reached")

    def test_replay_repeats_the_known_course(self):
        problem = self.folder / "problem.json"
        problem.write_text(json.dumps({
            "n": 4, "d": 1, "edges": [[0, 1], [0, 3], [1, 2], [2, 3]], "mu": 1, "L": 10,
            "h": [[1], [4], [7], [10]],
            "c": [[math.cos(1.3 * i)] for i in range(4)], "x0": [[0.0]] * 4, "start": "zero"}))

        run = self.lab("--replay", problem, "--seed", 42, "--events", "10,1000,5000")

        self.assertEqual(run.returncode, 0, run.stderr)
        result = json.loads(self.out.read_text())
        self.assertAlmostEqual(result["10"]["t"], 0.718102570469598, delta=1e-12)
        self.assertAlmostEqual(result["10"]["y_tilde"][1][0], -0.961918061321926, delta=1e-12)
        self.assertAlmostEqual(result["1000"]["x"][2][0], -0.510377720427168, delta=1e-12)
        self.assertEqual((result["5000"]["gradients"], result["5000"]["communications"]),
                         (3075, 1925))
        for name in ("mu", "L", "nu", "s", "eta", "alpha", "alpha_tilde", "theta", "gamma",
                     "gamma_tilde", "delta", "beta", "beta_tilde", "chi1", "chi2", "rate"):
            self.assertIn(name, result["constants"])

    def test_bad_input_is_named_once(self):
        bad = self.folder / "bad.txt"
        bad.write_text("1 1:0.5\n-1 2:x\n")
        edges = self.folder / "edges.txt"
        edges.write_text("0 1\n2 3\n")
        for arguments, texts in (
            (["--mu", -1], ["--mu is -1"]),
            (["--mu", 3, "--L", 2], ["mu is 3", "L is 2"]),
            (["--method", "dada"], ["'dada'", "Did you mean", "'dadao'"]),
            (["--topology", "rnig"], ["'rnig'", "'ring'"]),
            (["--problem", "qud"], ["'qud'", "'quad'"]),
            (["--problem", f"libsvm:{bad}"], [f"{bad}:2: '2:x'", "INDEX:VALUE"]),
            (["--topology", f"file:{edges}", "--workers", 4],
             ["not connected", "worker 0", "worker 2"]),
            (["--safety", 0.7], ["--safety is 0.7", "diverges"]),
            (["--replay", self.folder / "none.json"], ["none.json"]),
            (["--acuracy", 1], ["--acuracy", "--help"]),
        ):
            self.assert_refused(self.lab(*arguments), *texts)
        self.out = self.folder / "none" / "out.jsonl"
        self.assert_refused(self.lab(), "none/out.jsonl")

    def test_ranks_refuse_together_what_runs_in_virtual_time_only(self):
        self.assert_refused(self.lab("--method", "continuized", ranks=2),
                            "'continuized' runs in virtual time only",
                            "start one process, with --workers 2")
        self.assert_refused(self.lab("--topology", "ring,star", ranks=3),
                            "'dadao' runs on one topology, not on 2",
                            "give one, or start one process, with --workers 3")

    def test_methods_of_stages_take_turns_of_graphs_on_ranks(self):
        run = self.lab("--method", "gradient-tracking", "--topology", "ring,star", "--accuracy",
                       1e-4, ranks=4)

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(self.lines()[-1]["status"], "reached")

    def test_the_line_of_the_theory_is_drawn_beside_a_run_on_ranks(self):
        run = self.lab("--method", "dadao,centralized", "--accuracy", 1e-4, "--gradient-seconds",
                       2e-4, ranks=3)

        self.assertEqual(run.returncode, 0, run.stderr)
        ends = [line for line in self.lines() if line["event"] == "end"]
        self.assertEqual([(end["method"], end["status"]) for end in ends],
                         [("dadao", "reached"), ("centralized", "reached")])

    def test_a_run_that_diverges_names_the_rates(self):
        remark = (r"it planned ([\d.]+) events per unit of time, ([\d.]+) happened, "
                  r"and it needs at least ([\d.]+); ")
        for where in ({"ranks": 4}, {}):
            arguments = ["--gradient-seconds", 2e-4] if where else ["--workers", 4]
            for _ in range(3):  # ranks that wait for a core have uneven paces
                run = self.lab("--safety", 0.3, "--bear-divergence", *arguments, **where)

                self.assertEqual(run.returncode, 0, run.stderr)
                end = self.lines()[-1]
                self.assertEqual(end["status"], "diverged")
                self.assertRegex(run.stdout, "dadao: " + remark)
                self.assertRegex(end["remark"], remark)
                planned, happened, needed = map(float, re.match(remark, end["remark"]).groups())
                self.assertAlmostEqual(planned / needed, 0.3, delta=1e-3)
                if abs(happened / planned - 1) < 0.5:
                    break
            self.assertAlmostEqual(happened / planned, 1, delta=0.5)

    def test_list_and_help_end_well(self):
        for option in ("--list", "--help"):
            run = self.lab(option)

            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn("topology" if option == "--help" else "gt-saga", run.stdout)

    def test_plot_draws_what_a_run_wrote(self):
        if start(SYSTEM_PYTHON, "-c", "import matplotlib").returncode != 0:
            self.skipTest("matplotlib is not installed")
        self.lab("--method", "dadao,gossip-sgd", "--workers", 8, "--max-gradients", 1000)
        picture = self.folder / "error.png"

        run = start(SYSTEM_PYTHON, BENCH / "plot", self.out, "--out", picture)

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(picture.read_bytes()[:4], b"\x89PNG")

    def test_plot_names_what_it_cannot_read(self):
        broken = self.folder / "broken.jsonl"
        broken.write_text('{"event": "start"}\nnot json\n\n')
        for path, text in ((self.folder / "none.jsonl", "none.jsonl"), (broken, "broken.jsonl:2")):
            run = start(SYSTEM_PYTHON, BENCH / "plot", path, "--out", self.folder / "x.png")

            self.assertEqual(run.returncode, 1)
            self.assertIn(text, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
