# SPDX-License-Identifier: Apache-2.0
"""Reads the JSON lines of examples/convex_lab."""

import json


class RunError(Exception):
    """A file that cannot be read; the message says which and why."""


class Run:
    """One method on one problem: first line, records, last line (None while it goes on)."""

    def __init__(self, start):
        self.start = start
        self.records = []
        self.end = None

    @property
    def method(self):
        return self.start["method"]

    @property
    def topology(self):
        return ",".join(self.start.get("topology", []))

    @property
    def kappa(self):
        return self.start["problem"]["L"] / self.start["problem"]["mu"]

    def reached(self, accuracy):
        """The counts when the error first was at most `accuracy`, a power of ten; None if never."""
        entries = (self.end or {}).get("reached", [])
        return next((entry for entry in entries if entry["accuracy"] <= accuracy * 1.001), None)


def read_runs(path):
    """The runs of a file, in their order."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise RunError(f"cannot read '{path}': {error.strerror}") from error
    runs = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            event = line["event"]
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # a killed run left it half written
            raise RunError(f"{path}:{number}: not a line of convex_lab: {error}") from error
        if event == "start":
            runs.append(Run(line))
        elif not runs:
            raise RunError(f"{path}:{number}: '{event}' before any start")
        elif event == "record":
            # A diverged run may end with an error that is no number.
            if line.get("error") is not None:
                runs[-1].records.append(line)
        else:
            runs[-1].end = line
    if not runs:
        raise RunError(f"there are no runs in '{path}'")
    return runs
