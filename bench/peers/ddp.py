# SPDX-License-Identifier: Apache-2.0
"""The training of examples/fashion_mnist by PyTorch's DistributedDataParallel over gloo.

The same network, batches, local optimizer and number of threads, started by the same launcher, so
that the time of a step can be compared with that of --optimizer allreduce. Rank 0 prints one JSON
line a training epoch on standard output: {"event": "epoch", "epoch", "images_per_second", "loss"}.
Exits with status 77 and the reason where PyTorch cannot be imported.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import sys
import time

try:
    import torch
    import torch.distributed
    from torch.nn import functional
    from torch.nn.parallel import DistributedDataParallel
except ImportError as error:
    print(f"SKIPPED: PyTorch cannot be imported: {error}", file=sys.stderr)
    sys.exit(77)

CLASSES = 10
SIDE = 28
# Of the training set's pixels, on the scale of 0 to 1.
MEAN = 0.2860
DEVIATION = 0.3530


class Cnn(torch.nn.Module):
    """examples/common/model.h"""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 16, 5, stride=2, padding=2)
        self.conv2 = torch.nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = torch.nn.Linear(32 * 7 * 7, 128)
        self.output = torch.nn.Linear(128, CLASSES)

    def forward(self, images):
        x = self.conv1(images).relu_()
        x = functional.max_pool2d(self.conv2(x), 2).relu_()
        return self.output(self.hidden(x.flatten(1)).relu_())


def one_cycle_rate(peak, done):
    if done < 0.25:
        return peak * (0.04 + 0.96 * done / 0.25)
    return peak * 0.5 * (1 + math.cos(math.pi * (done - 0.25) / 0.75))


def read(path, header, shape):
    raw = bytearray(gzip.decompress(path.read_bytes())[header:])
    return torch.frombuffer(raw, dtype=torch.uint8).reshape(shape)


def train(options, rank, size):
    images = read(options.data / "train-images-idx3-ubyte.gz", 16, (-1, 1, SIDE, SIDE))
    labels = read(options.data / "train-labels-idx1-ubyte.gz", 8, (-1,)).long()
    steps = len(labels) // size // options.batch_size
    model = DistributedDataParallel(Cnn())
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.15, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    total = options.epochs * steps
    for epoch in range(options.epochs):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
        begin, loss_sum = time.perf_counter(), 0.0
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = one_cycle_rate(0.15, (epoch * steps + step) / total)
            first = (step * size + rank) * options.batch_size
            batch = order[first : first + options.batch_size]
            pixels = images[batch].float().sub_(255 * MEAN).mul_(1 / (255 * DEVIATION))
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(pixels), labels[batch])
            loss.backward()
            optimizer.step()
            loss_sum += loss.item()
        seconds = time.perf_counter() - begin
        if rank == 0:
            rate = steps * options.batch_size * size / seconds
            record = {"event": "epoch", "epoch": epoch + 1, "images_per_second": rate}
            print(json.dumps(record | {"loss": loss_sum / steps}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--master", default="127.0.0.1", help="address of rank 0")
    options = parser.parse_args()
    rank, size = int(os.environ["OMPI_COMM_WORLD_RANK"]), int(os.environ["OMPI_COMM_WORLD_SIZE"])
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://{options.master}:29500", rank=rank, world_size=size
    )
    train(options, rank, size)
    torch.distributed.destroy_process_group()


main()
