#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images per second of the runs of `scripts/bench ddp` over one link: one JSON line a metric.

    ddp_summary.py FOLDER LINK

The run number I of the library lies in FOLDER/allreduce-LINK-I/, that of PyTorch in
FOLDER/ddp-LINK-I.jsonl.
"""

import json
import pathlib
import statistics
import sys


def images_per_second(lines):
    """Of the training epochs, as each of them reports."""
    records = [json.loads(line) for line in lines]
    return statistics.mean(r["images_per_second"] for r in records if r["event"] == "epoch")


def main():
    folder, link = pathlib.Path(sys.argv[1]), sys.argv[2]
    rates = {"allreduce": [], "ddp": []}
    for path in sorted(folder.glob(f"ddp-{link}-*.jsonl")):
        ours = folder / path.stem.replace("ddp", "allreduce", 1) / "metrics.rank0.jsonl"
        rates["ddp"].append(images_per_second(path.read_text().splitlines()))
        rates["allreduce"].append(images_per_second(ours.read_text().splitlines()))

    def report(metric, values, unit):
        params = {"link": link, "hosts": 4, "batch_size": 64, "each": [round(v, 3) for v in values]}
        value = round(statistics.median(values), 3)
        line = {"benchmark": "ddp", "metric": metric, "value": value, "unit": unit}
        print(json.dumps(line | {"params": params}), flush=True)
        print(f"  {metric:<28} {value:>10.3f} {unit}  {params}", file=sys.stderr, flush=True)

    report("allreduce_images_per_second", rates["allreduce"], "images/s")
    report("ddp_images_per_second", rates["ddp"], "images/s")
    report("allreduce_over_ddp", [a / b for a, b in zip(rates["allreduce"], rates["ddp"])], "ratio")


main()
