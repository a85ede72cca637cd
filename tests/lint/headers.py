#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone.

Usage: headers.py COMPILER COMPILE_COMMANDS SOURCE FOLDER HEADER...
COMPILE_COMMANDS knows how SOURCE, a user of the library, is compiled; FOLDER is for the
precompiled headers.

A header that includes one of BASES, itself or through others, sees all of that base wherever its
includes stand; so it gets the base precompiled, which hides nothing but what the headers between
them lack, and those are compiled alone as well.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

# The expensive ones, of two the larger one first.
BASES = ("libgossip/optim/decentralized.h", "torch/optim/optimizer.h", "ATen/core/Tensor.h",
         "libgossip/transport/group.h", "fmt/format.h")


def flags_for(source, compiler, compile_commands):
    """How `source` is compiled, without what concerns this file."""
    entries = json.loads(pathlib.Path(compile_commands).read_text())
    (command,) = [entry["command"] for entry in entries if entry["file"] == source]
    words = shlex.split(command)
    words = words[words.index(compiler) + 1:]
    return words[:words.index("-o")]


def included_by(names, root):
    """What each header includes, itself or through other headers of the library."""
    direct = {name: re.findall(r"(?m)^#include <([^>]+)>", (root / name).read_text())
              for name in names}

    def follow(name, found):
        for other in direct.get(name, []):
            if other not in found:
                found.add(other)
                follow(other, found)
        return found

    return {name: follow(name, set()) for name in names}


class Check:
    def __init__(self, command, folder):
        self.command, self.folder = command, folder

    def precompile(self, base):
        path = self.folder / base.replace("/", "-")
        path.write_text(f"#include <{base}>\n")
        run = subprocess.run([*self.command, "-x", "c++-header", path, "-o", f"{path}.gch"],
                             capture_output=True, text=True)
        return "" if run.returncode == 0 else run.stderr

    def compile(self, name, base):
        ready = ["-include", self.folder / base.replace("/", "-")] if base else []
        run = subprocess.run([*self.command, *ready, "-fsyntax-only", "-x", "c++", "-"],
                             input=f"#include <{name}>\n", capture_output=True, text=True)
        return "" if run.returncode == 0 else run.stderr


def main(compiler, compile_commands, source, folder, *headers):
    root = pathlib.Path(__file__).resolve().parents[2]
    names = [pathlib.Path(header).relative_to(root).as_posix() for header in headers]
    included = included_by(names, root)
    base_of = {name: next((base for base in BASES if base in included[name]), None)
               for name in names}
    bases = [base for base in BASES if base in base_of.values()]

    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    check = Check([compiler, *flags_for(source, compiler, compile_commands)],
                  pathlib.Path(folder))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [error for error in pool.map(check.precompile, bases) if error]
        if not failures:
            failures = [error for error in pool.map(check.compile, base_of, base_of.values())
                        if error]
    shutil.rmtree(folder)
    for error in failures:
        print(error, file=sys.stderr)
    print(f"{len(names)} headers, {len(failures)} do not compile alone")
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
