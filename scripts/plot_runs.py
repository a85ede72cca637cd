#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Draws and compares training runs.

    plot_runs.py RUN_DIR... --out comparison.png [--table]

reads metrics.rank*.jsonl and result.json of each run (see docs/metrics.md), draws the accuracy of
the mean model and the training loss over epochs and over seconds, and prints a table of the runs.
Needs matplotlib (Debian: python3-matplotlib) for the picture only.
"""

import argparse
import json
import math
import os
import re
import sys

# Okabe and Ito's palette, which color-blind people can tell apart, without its yellow; each run
# also has a marker and a line style of its own.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
SYSTEM_PYTHON = "/usr/bin/python3"
STYLES = ["-", "--", "-.", ":"]


class RunError(Exception):
    """A run that cannot be read; the message says which and why."""


def read_lines(path):
    """The objects of a file of JSON lines; one that a killed run left half written is dropped."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    objects = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            objects.append(json.loads(line))
        except ValueError as error:
            following = next((other for other in lines[number:] if other.strip()), None)
            if following is None or '"event":"resume"' in following:
                continue
            raise RunError(f"{path}:{number}: not a JSON object: {error}") from error
    return objects


def that_count(lines):
    """Without the steps and epochs that a run made again after it was resumed from a checkpoint."""
    counted = []
    for line in lines:
        if line.get("event") == "resume":
            counted = [
                before
                for before in counted
                if before.get("event") not in ("step", "epoch")
                or before.get("step", 0) <= line.get("step", 0)
            ]
        counted.append(line)
    return counted


def mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


class Run:
    """One output folder."""

    def __init__(self, folder):
        self.folder = folder
        self.ranks = {}
        try:
            names = os.listdir(folder)
        except OSError as error:
            raise RunError(f"cannot read the run '{folder}': {error.strerror}") from error
        for name in names:
            match = re.fullmatch(r"metrics\.rank(\d+)\.jsonl", name)
            if match:
                self.ranks[int(match[1])] = that_count(read_lines(os.path.join(folder, name)))
        if not any(self.ranks.values()):
            raise RunError(f"there are no metrics.rank<N>.jsonl with lines in '{folder}'")
        try:
            with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
                self.result = json.load(file)
        except FileNotFoundError:
            self.result = None
        except ValueError as error:
            raise RunError(f"{folder}/result.json: not a JSON object: {error}") from error
        events = [line for lines in self.ranks.values() for line in lines]
        self.start = next((line for line in events if line.get("event") == "start"), {})
        self.epochs = self._collect("epoch", "epoch")
        self.steps = self._collect("step", "step")

    def _collect(self, event, key):
        """The lines of an event as one line each of the job: mean over the ranks."""
        groups = {}
        for lines in self.ranks.values():
            for line in lines:
                if line.get("event") == event and line.get(key) is not None:
                    groups.setdefault(line[key], []).append(line)
        joined = []
        for value in sorted(groups):
            names = {name for line in groups[value] for name in line}
            row = {}
            for name in names:
                column = [line.get(name) for line in groups[value]]
                numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool)
                              for v in column if v is not None)
                row[name] = mean(column) if numbers else column[0]
            joined.append(row)
        return joined

    @property
    def label(self):
        optimizer = self.start.get("optimizer") or os.path.basename(os.path.abspath(self.folder))
        topology = self.start.get("topology")
        has_topology = topology and topology not in ("none", "-")
        return f"{optimizer}, {topology}" if has_topology else optimizer

    @property
    def status(self):
        return self.result.get("status", "?") if self.result else "unfinished"

    def last(self, name):
        """The figure of the whole run, or the latest one of a run without a result."""
        if self.result is not None and self.result.get(name) is not None:
            return self.result[name]
        for rows in (self.epochs, self.steps):
            for row in reversed(rows):
                if row.get(name) is not None:
                    return row[name]
        return None

    def bytes_per_step(self):
        sent, steps = self.last("bytes_sent"), self.last("step")
        return sent / steps if sent is not None and steps else None

    def is_nominal(self):
        return bool(self.last("bytes_nominal") or self.start.get("bytes_nominal"))


def unique_labels(runs):
    """What the curves and rows are called: with the folder's name where two would be the same."""
    labels = [run.label for run in runs]
    return [
        f"{label} ({os.path.basename(os.path.abspath(run.folder))})" if labels.count(label) > 1
        else label
        for run, label in zip(runs, labels)
    ]


def bytes_text(value):
    if value is None:
        return "-"
    for unit in ("B", "kB", "MB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def number_text(value, form):
    return "-" if value is None else format(value, form)


def table(runs):
    """The table of the runs as text."""
    header = ["run", "status", "accuracy, mean model", "wall time", "images/s",
              "sent a rank and step", "consensus distance"]
    rows = []
    for run, label in zip(runs, unique_labels(runs)):
        accuracy = run.last("test_accuracy_mean_model")
        seconds = run.last("seconds")
        nominal = " (nominal)" if run.is_nominal() else ""
        rows.append([
            label,
            run.status,
            "-" if accuracy is None else f"{100 * accuracy:.2f} %",
            "-" if seconds is None else f"{seconds:.1f} s",
            number_text(run.last("images_per_second"), ",.0f"),
            bytes_text(run.bytes_per_step()) + nominal,
            number_text(run.last("consensus_distance"), ".3g"),
        ])
    widths = [max(len(row[i]) for row in [header] + rows) for i in range(len(header))]
    def line(row):
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths)]
                     + [line(row) for row in rows])


def smoothed(values, length):
    """Moving average over `length` points, of those that are there at the ends."""
    half = length // 2
    return [mean(values[max(0, i - half):i + half + 1]) for i in range(len(values))]


def loss_curve(run):
    """(epochs, seconds, loss): by step, smoothed, where steps were logged, otherwise by epoch."""
    if len(run.steps) >= 2:
        steps_per_epoch = next((e["step"] / e["epoch"] for e in run.epochs
                                if e.get("step") and e.get("epoch")), None)
        rows = [row for row in run.steps
                if row.get("loss") is not None and row.get("seconds") is not None]
        if steps_per_epoch and len(rows) >= 2:
            losses = smoothed([row["loss"] for row in rows], max(1, len(rows) // 60) | 1)
            epochs = [row["step"] / steps_per_epoch for row in rows]
            return epochs, [row["seconds"] for row in rows], losses
    rows = [row for row in run.epochs
            if row.get("loss") is not None and row.get("seconds") is not None]
    return tuple([row[field] for row in rows] for field in ("epoch", "seconds", "loss"))


def accuracy_curve(run):
    rows = [row for row in run.epochs
            if row.get("test_accuracy_mean_model") is not None and "seconds" in row]
    percent = [100 * row["test_accuracy_mean_model"] for row in rows]
    return [row["epoch"] for row in rows], [row["seconds"] for row in rows], percent


def set_accuracy_range(axes, curves):
    """From below the lowest accuracy, but not so low that a bad first epoch flattens the rest."""
    values = sorted(value for curve in curves for value in curve[2])
    if not values:
        return
    low = max(values[0], values[-1] - 12)
    for axis in axes:
        axis.set_ylim(math.floor(low - 0.5), min(100, values[-1] + 0.75))


def title_of(runs):
    sizes = sorted({run.start["size"] for run in runs if "size" in run.start})
    parameters = sorted({run.start["parameters"] for run in runs if "parameters" in run.start})
    parts = []
    if sizes:
        parts.append("/".join(map(str, sizes)) + (" rank" if sizes == [1] else " ranks"))
    if parameters:
        parts.append("/".join(f"{count:,}" for count in parameters) + " parameters")
    return ", ".join(parts)


def find_matplotlib():
    """Starts over with Debian's interpreter where only that one has matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        if os.path.exists(SYSTEM_PYTHON) and "GOSSIP_PLOT_RUNS_RESTARTED" not in os.environ:
            os.environ["GOSSIP_PLOT_RUNS_RESTARTED"] = "1"
            os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON, os.path.abspath(__file__)] + sys.argv[1:])
        raise RunError("drawing needs matplotlib: apt-get install python3-matplotlib") from error
    matplotlib.use("Agg")


def draw(runs, path, title):
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    pyplot.rcParams.update({
        "font.size": 11, "axes.titlesize": 12, "axes.titleweight": "bold", "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "grid.color": "#e3e3e3",
        "axes.axisbelow": True, "legend.frameon": False,
    })
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7.6), sharey="row", sharex="col")
    accuracies = [accuracy_curve(run) for run in runs]
    losses = [loss_curve(run) for run in runs]
    for i, label in enumerate(unique_labels(runs)):
        look = {"color": COLORS[i % len(COLORS)], "linestyle": STYLES[i % len(STYLES)],
                "linewidth": 1.8}
        dots = {"marker": MARKERS[i % len(MARKERS)], "markersize": 5.5, "markeredgecolor": "white",
                "markeredgewidth": 0.7}
        for column in (0, 1):
            axes[0][column].plot(accuracies[i][column], accuracies[i][2], label=label, **look,
                                 **dots)
            few = dots if len(losses[i][2]) <= 40 else {}
            axes[1][column].plot(losses[i][column], losses[i][2], label=label, **look, **few)

    set_accuracy_range(axes[0], accuracies)
    if any(value > 0 for curve in losses for value in curve[2]):
        axes[1][0].set_yscale("log")
        axes[1][0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[1][0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[1][0].yaxis.set_minor_locator(NullLocator())
    axes[0][0].set_title("by training epoch")
    axes[0][1].set_title("by wall time")
    axes[0][0].set_ylabel("test accuracy of\nthe mean model (%)")
    axes[1][0].set_ylabel("training loss, mean\nover ranks (nats)")
    axes[1][0].set_xlabel("training epochs")
    axes[1][1].set_xlabel("wall time (s)")
    axes[1][0].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes[1]:
        axis.set_xlim(left=0)
    figure.align_ylabels(axes[:, 0])

    figure.suptitle(title, x=0.5, y=0.985, fontsize=15, fontweight="bold")
    figure.text(0.5, 0.925, title_of(runs), ha="center", va="bottom", color="#555555")
    handles, labels = axes[0][0].get_legend_handles_labels()
    columns = min(len(labels), 3)
    rows = math.ceil(len(labels) / columns)
    figure.legend(handles, labels, loc="lower center", ncol=columns, bbox_to_anchor=(0.5, 0.005))
    figure.tight_layout(rect=(0, 0.015 + 0.03 * rows, 1, 0.955), h_pad=1.5, w_pad=2)
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        raise RunError(f"cannot write '{path}': {error}") from error


def main():
    parser = argparse.ArgumentParser(
        description="Draws and compares training runs (see docs/metrics.md).")
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="output folder of a run")
    parser.add_argument("--out", metavar="FILE", help="picture to write, such as comparison.png")
    parser.add_argument("--table", action="store_true",
                        help="print the table (always, without --out)")
    parser.add_argument("--title", default="Decentralized training of a CNN on Fashion-MNIST",
                        help="title of the picture")
    arguments = parser.parse_args()
    try:
        if arguments.out:
            find_matplotlib()
        runs = [Run(folder) for folder in arguments.runs]
        if arguments.table or not arguments.out:
            print(table(runs), flush=True)
        if arguments.out:
            draw(runs, arguments.out, arguments.title)
    except BrokenPipeError:  # the reader of the table has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except RunError as error:
        print(f"plot_runs.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
