# SPDX-License-Identifier: Apache-2.0
"""Reads the runs of `scripts/bench heterogeneous`: one JSON line a method, and a Markdown table."""

import json
import statistics
import sys
from pathlib import Path


def main() -> None:
    runs: dict[str, list[dict]] = {}
    for path in sorted(Path(sys.argv[1]).glob("*/result.json")):
        name = path.parent.name.rsplit("-", 1)[0]
        runs.setdefault(name, []).append(json.loads(path.read_text(encoding="utf-8")))
    print("| method | accuracy of the mean model | of a rank's own | consensus distance |",
          file=sys.stderr)
    print("|---|---|---|---|", file=sys.stderr)
    rows = []
    for name, results in runs.items():
        mean = [100 * result["test_accuracy_mean_model"] for result in results]
        own = [100 * result["test_accuracy_local"] for result in results]
        distance = statistics.mean(result["consensus_distance"] for result in results)
        rows.append((statistics.mean(mean), name, mean, own, distance))
    for value, name, mean, own, distance in sorted(rows, reverse=True):
        print(
            f"| `{name}` | {value:.1f} % ({min(mean):.1f} to {max(mean):.1f})"
            f" | {statistics.mean(own):.1f} % | {distance:.2f} |",
            file=sys.stderr,
        )
        print(
            json.dumps(
                {
                    "benchmark": "heterogeneous",
                    "metric": "accuracy_of_mean_model",
                    "value": value,
                    "unit": "%",
                    "params": {"method": name, "ranks": 8, "seeds": len(mean)},
                }
            )
        )


if __name__ == "__main__":
    main()
