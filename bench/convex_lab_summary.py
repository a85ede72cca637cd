# SPDX-License-Identifier: Apache-2.0
"""Reads the runs of `scripts/bench convex-lab`: JSON lines, a Markdown table a condition number."""

import json
import statistics
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from lab_runs import read_runs  # noqa: E402

ACCURACIES = [1e-6, 1e-10]
METHODS = ["dadao, safety 1", "dadao, safety 2", "adom-plus", "adom-plus-mc", "gradient-tracking",
           "msda", "continuized"]


def name_of(run) -> str:
    safety = run.start["constants"].get("safety")
    return f"{run.method}, safety {safety:g}" if safety else run.method


def line(metric: str, value: float, unit: str, **params) -> None:
    print(json.dumps({"benchmark": "convex-lab", "metric": metric, "value": value, "unit": unit,
                      "params": params}))


def number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def main() -> None:
    counts: dict[tuple, list[dict]] = {}
    for path in sorted(Path(sys.argv[1]).glob("*.jsonl")):
        for run in read_runs(path):
            for accuracy in ACCURACIES:
                key = (run.start["problem"]["name"], round(run.kappa), run.topology, accuracy,
                       name_of(run))
                counts.setdefault(key, []).append(run.reached(accuracy))
    means: dict[tuple, dict] = {}
    for key, entries in counts.items():
        if None in entries:
            continue  # it never got there
        means[key] = {field: statistics.mean(entry[field] for entry in entries)
                      for field in ("gradients", "communications")}
        problem, kappa, topology, accuracy, method = key
        for field in ("gradients", "communications"):
            line(field, means[key][field], "1", method=method, topology=topology, problem=problem,
                 kappa=kappa, accuracy=accuracy, runs=len(entries))
    for problem, kappa in sorted({key[:2] for key in counts}):
        print(f"\n{problem}, kappa = {kappa}: gradients / communications\n", file=sys.stderr)
        print("| graph | accuracy | " + " | ".join(METHODS) + " |", file=sys.stderr)
        print("|---" * (len(METHODS) + 2) + "|", file=sys.stderr)
        for topology in ("complete", "star", "ring", "line"):
            for accuracy in ACCURACIES:
                cells = []
                for method in METHODS:
                    mean = means.get((problem, kappa, topology, accuracy, method))
                    cells.append(f"{number(mean['gradients'])} / {number(mean['communications'])}"
                                 if mean else "–")
                print(f"| {topology} | {accuracy:.0e} | " + " | ".join(cells) + " |",
                      file=sys.stderr)
    for safety in ("1", "2"):
        ring = [means[("quad", 10, "ring", 1e-10, method)]["communications"]
                for method in ("adom-plus", f"dadao, safety {safety}")]
        line("adom_plus_over_dadao", ring[0] / ring[1], "ratio", topology="ring", problem="quad",
             kappa=10, accuracy=1e-10, safety=int(safety))


if __name__ == "__main__":
    main()
