# SPDX-License-Identifier: Apache-2.0
"""Short trainings for the tests: the first images of Fashion-MNIST, and what a run leaves behind."""

import gzip
import json
import pathlib

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")


def write_small_data(folder, images=1200):
    """As many images to train, and 100 to test, in the files that the example reads."""
    folder.mkdir()
    for path in DATA.glob("*.gz"):
        count = images if path.name.startswith("train") else 100
        raw = gzip.decompress(path.read_bytes())
        header = 16 if "images" in path.name else 8
        item = 784 if "images" in path.name else 1
        small = raw[:4] + count.to_bytes(4, "big") + raw[8:header] + raw[header : header + count * item]
        (folder / path.name).write_bytes(gzip.compress(small))
    return folder


def result(folder):
    return json.loads((folder / "result.json").read_text())


def lines(folder, rank):
    """What a rank has recorded so far; the last line may still be on its way."""
    path = folder / f"metrics.rank{rank}.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]
