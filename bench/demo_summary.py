#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the mean model over the runs of `scripts/bench demo`: one JSON line a metric."""

import json
import pathlib
import statistics
import sys


def main() -> None:
    runs = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*/result.json")):
        result = json.loads(path.read_text())
        runs.setdefault(result["optimizer"], {})[result["seed"]] = result

    def report(metric, value, unit, params):
        line = {"benchmark": "demo", "metric": metric, "value": value, "unit": unit,
                "params": params}
        print(json.dumps(line))
        print(f"  {metric:<28} {value:>9.3f} {unit}  {params}", file=sys.stderr)

    means = {}
    for optimizer, by_seed in runs.items():
        accuracies = [100 * result["test_accuracy_mean_model"] for result in by_seed.values()]
        means[optimizer] = statistics.mean(accuracies)
        params = {"optimizer": optimizer, "seeds": sorted(by_seed),
                  "each": [round(a, 2) for a in accuracies]}
        report("accuracy_percent", round(means[optimizer], 3), "%", params)
    gap = means["allreduce"] - means["gossip-sgd"]
    report("accuracy_gap_points", round(gap, 3), "points", {"of": "allreduce minus gossip-sgd"})


if __name__ == "__main__":
    main()
