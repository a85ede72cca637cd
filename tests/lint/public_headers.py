#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The public headers are the entries, what users include, and the headers that these include.

Usage: public_headers.py ROOT ENTRY... -- HEADER...
Entries are patterns below ROOT/libgossip, such as sim/*.h; headers are those that are installed.
Without arguments it tests itself on a tree with planted faults.
"""

import pathlib
import re
import sys
import tempfile


def included(root, name):
    """The headers of the library that a header includes; none of one that the build writes."""
    path = root / name
    if not path.exists():
        return []
    return re.findall(r"(?m)^\s*#\s*include\s*<(libgossip/[^>]+)>", path.read_text())


def closure(root, entries):
    """The entries and what they include, each with the header that led there."""
    reached, waiting = {}, [(name, "an entry") for name in entries]
    while waiting:
        name, by = waiting.pop()
        if name not in reached:
            reached[name] = by
            waiting += [(other, name) for other in included(root, name)]
    return reached


def faults(root, patterns, headers):
    """One line for each header that is public without reason, or private in spite of one."""
    found, entries = [], []
    for pattern in patterns:
        names = sorted(path.relative_to(root).as_posix()
                       for path in (root / "libgossip").glob(pattern))
        found += [] if names else [f"libgossip/{pattern}: there is no such entry"]
        entries += names
    public = {pathlib.Path(header).relative_to(root).as_posix() for header in headers}
    reached = closure(root, entries)
    for name in sorted(public - reached.keys()):
        found.append(f"{name} is public, but users do not include it, nor does what they include: "
                     "make it private in its room's CMakeLists.txt, or an entry")
    for name in sorted(reached.keys() - public):
        if (root / name).exists():
            found.append(f"{name} is private, but reached by {reached[name]}: make it public")
    return found


def test_itself():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in (("gossip.h", "#include <libgossip/a/b.h>\n"),
                           ("a/b.h", "#include <vector>\n#include <libgossip/a/written.h>\n"),
                           ("a/c.h", ""), ("s/d.h", "")):
            (root / "libgossip" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "libgossip" / name).write_text(text)

        def faults_of(entries, *names):
            return faults(root, entries, [root / "libgossip" / name for name in names])

        both = ["gossip.h", "s/*.h"]
        assert faults_of(both, "gossip.h", "a/b.h", "s/d.h") == []
        (fault,) = faults_of(both, "gossip.h", "a/b.h", "a/c.h", "s/d.h")
        assert fault.startswith("libgossip/a/c.h is public")
        (fault,) = faults_of(both, "gossip.h", "s/d.h")
        assert fault.startswith("libgossip/a/b.h is private, but reached by libgossip/gossip.h")
        (fault,) = faults_of(both, "gossip.h", "a/b.h")
        assert fault.startswith("libgossip/s/d.h is private, but reached by an entry")
        (fault,) = faults_of([*both, "t/*.h"], "gossip.h", "a/b.h", "s/d.h")
        assert fault == "libgossip/t/*.h: there is no such entry"


def main(*arguments):
    if not arguments:
        test_itself()
        return 0
    root, *rest = arguments
    border = rest.index("--")
    patterns, headers = rest[:border], rest[border + 1:]
    found = faults(pathlib.Path(root), patterns, headers)
    for fault in found:
        print(fault, file=sys.stderr)
    print(f"{len(headers)} public headers, {len(found)} faults")
    return 1 if found or not headers else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
