#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine's files include each other without a circle, its rooms do not see each other.

Usage: engine_structure.py ROOT
Prints how many pairs of files there are of which one includes the other (a header and its sources
are one file), how many lines, and the longest file. The first two may only fall: who makes them
smaller lowers the limit here. Without arguments it tests itself on trees with planted faults.
"""

import pathlib
import re
import sys
import tempfile

MOST_PAIRS = 24
MOST_LINES = 5096
MOST_LINES_OF_A_FILE = 400
ROOMS = ("rounds", "one_way", "pairs")


def files_of(root):
    """Text by name, below the engine's folder."""
    engine = root / "libgossip" / "engine"
    return {path.relative_to(engine).as_posix(): path.read_text()
            for path in sorted(engine.rglob("*")) if path.suffix in (".h", ".cpp")}


def unit_of(name, names):
    """A header and its sources, `x.cpp` and `x_more.cpp`, under the header's name."""
    stem = name.rsplit(".", 1)[0]
    while f"{stem}.h" not in names and "_" in stem:
        stem = stem.rsplit("_", 1)[0]
    return stem


def pairs_of(files):
    """(who includes, what) of different units."""
    pairs = set()
    for name, text in files.items():
        for other in re.findall(r"(?m)^\s*#\s*include\s*<libgossip/engine/([^>]+)>", text):
            pair = unit_of(name, files), unit_of(other, files)
            if pair[0] != pair[1]:
                pairs.add(pair)
    return pairs


def circle_of(pairs):
    """Units that include each other in a circle; empty without one."""
    below = {}
    for user, used in pairs:
        below.setdefault(user, []).append(used)
    done = set()

    def search(unit, path):
        if unit in path:
            return path[path.index(unit):] + [unit]
        if unit in done:
            return []
        for used in below.get(unit, ()):
            found = search(used, path + [unit])
            if found:
                return found
        done.add(unit)
        return []

    for unit in sorted(below):
        found = search(unit, [])
        if found:
            return found
    return []


def room_of(unit):
    return unit.split("/")[0] if "/" in unit else ""


def faults(root):
    files = files_of(root)
    pairs = pairs_of(files)
    lines = {name: text.count("\n") for name, text in files.items()}
    longest = max(lines, key=lines.get)
    print(f"{len(pairs)} pairs of files of which one includes the other, {sum(lines.values())} "
          f"lines, the longest file is {longest} with {lines[longest]}")
    found = []
    if len(pairs) > MOST_PAIRS:
        found.append(f"{len(pairs)} pairs are more than {MOST_PAIRS}")
    if sum(lines.values()) > MOST_LINES:
        found.append(f"{sum(lines.values())} lines are more than {MOST_LINES}")
    found += [f"{name} has {count} lines, more than {MOST_LINES_OF_A_FILE}"
              for name, count in lines.items() if count > MOST_LINES_OF_A_FILE]
    for user, used in sorted(pairs):
        if room_of(used) and room_of(used) != room_of(user):
            found.append(f"{user} includes {used} of another room")
    found += [f"{name} lies in a folder that is none of {', '.join(ROOMS)}"
              for name in files if room_of(name) not in ("",) + ROOMS]
    circle = circle_of(pairs)
    if circle:
        found.append("a circle: " + ", ".join(circle))
    return found


def test_itself():
    clean = {"a.h": "", "a_more.cpp": "#include <libgossip/engine/a.h>\n",
             "rounds/b.h": "#include <libgossip/engine/a.h>\n", "pairs/c.h": ""}
    planted = {
        "a circle": {"a.h": "#include <libgossip/engine/d.h>\n",
                     "d.cpp": "#include <libgossip/engine/a.h>\n", "d.h": ""},
        "of another room": {"pairs/c.h": "#include <libgossip/engine/rounds/b.h>\n"},
        "more than 400": {"a.h": "\n" * 401},
        "none of": {"other/e.h": ""},
    }
    for expected, changes in {None: {}, **planted}.items():
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {**clean, **changes}.items():
                path = root / "libgossip" / "engine" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            found = faults(root)
            if bool(found) != bool(expected) or (expected and expected not in found[0]):
                sys.exit(f"planted '{expected}', found {found}")


def main():
    if len(sys.argv) == 1:
        test_itself()
        return
    found = faults(pathlib.Path(sys.argv[1]))
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
