# SPDX-License-Identifier: Apache-2.0
"""Short trainings on the cluster, and what a run leaves behind."""

import json
import pathlib
import sys
import tempfile

from login_node import OnLoginNode

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from small_fashion_mnist import write_small_data  # noqa: E402

PAIR = ["--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1"]


class TrainingTest(OnLoginNode):
    """Has the first images of Fashion-MNIST in the folder `data`, which all nodes see."""

    images = 1200

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.data = write_small_data(pathlib.Path(folder.name), cls.images)


def result(folder):
    return json.loads((folder / "result.json").read_text())


def lines(folder, rank):
    """What a rank has recorded so far; the last line may still be on its way."""
    path = folder / f"metrics.rank{rank}.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]
