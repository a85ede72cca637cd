#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time of scripts/test went: its phases, the labels of the tests and the slowest tests.

Usage: test_times.py FOLDER
FOLDER/phases has a line `LIBRARY PHASE SECOND` for each begin of a phase, and PHASE is `end` after
the last one. FOLDER/LIBRARY.xml is the JUnit file of ctest and FOLDER/LIBRARY.json its list of
tests; they are missing where nothing was tested.
"""

import collections
import json
import pathlib
import sys
import xml.etree.ElementTree

NUM_SLOWEST = 15
PHASES = ("set-up", "compile", "sanitizers", "tests")


def phases(path):
    """The seconds of each (library, phase)."""
    seconds = collections.Counter()
    begun = None
    for line in path.read_text().splitlines():
        library, phase, second = line.split()
        if begun:
            seconds[begun[:2]] += int(second) - begun[2]
        begun = None if phase == "end" else (library, phase, int(second))
    return seconds


def tests(folder, library):
    """Name, seconds and labels of each test that ran."""
    try:
        ran = xml.etree.ElementTree.parse(folder / f"{library}.xml").iter("testcase")
        known = json.loads((folder / f"{library}.json").read_text())["tests"]
    except (OSError, ValueError, xml.etree.ElementTree.ParseError):
        return []
    labels = {}
    for test in known:
        properties = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
        labels[test["name"]] = properties.get("LABELS", [])
    return [(case.get("name"), float(case.get("time")), labels[case.get("name")]) for case in ran]


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def print_row(name, figures):
    print(f"{name:<11}" + "".join(f"{clock(figure):>11}" for figure in [*figures, sum(figures)]))


def main(folder):
    spent = phases(folder / "phases")
    libraries = list(dict.fromkeys(library for library, _ in spent))
    used = [phase for phase in PHASES if any(spent[library, phase] for library in libraries)]
    print("minutes    " + "".join(f"{phase:>11}" for phase in [*used, "together"]))
    for library in libraries:
        print_row(library, [spent[library, phase] for phase in used])
    if len(libraries) > 1:
        print_row("together", [sum(spent[name, phase] for name in libraries) for phase in used])

    ran = [(library, *test) for library in libraries for test in tests(folder, library)]
    if not ran:
        return
    of_label = collections.defaultdict(list)
    for _, _, seconds, labels in ran:
        for label in labels:
            of_label[label].append(seconds)
    print("\nlabel       tests    minutes, one test after the other")
    for label, seconds in sorted(of_label.items(), key=lambda item: -sum(item[1])):
        print(f"{label:<10}{len(seconds):>7}{clock(sum(seconds)):>11}")
    print("\nslowest tests, in seconds")
    for library, name, seconds, _ in sorted(ran, key=lambda test: -test[2])[:NUM_SLOWEST]:
        print(f"{seconds:>7.1f}  {library:<9} {name}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
