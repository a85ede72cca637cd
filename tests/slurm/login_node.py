# SPDX-License-Identifier: Apache-2.0
"""What the tests do on the login node of scripts/slurm-cluster: submit scripts, watch the jobs."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "scripts" / "slurm-cluster"
# A user's shell knows nothing of CTest's environment.
KEPT = ("PATH", "HOME", "SLURM_CONF", "GOSSIP_SLURM_CLUSTER")
SECONDS = 180  # a job that needs longer hangs


def run(*command, env=None, cwd=None, seconds=SECONDS):
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds,
                          stdin=subprocess.DEVNULL, env={**kept, **(env or {})}, cwd=cwd)


def wait_until(condition, seconds=SECONDS):
    """Whether `condition()` came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class Job:
    def __init__(self, number, folder):
        self.number, self.folder = number, folder

    def field(self, name):
        """Of `scontrol show job`, such as JobState."""
        shown = run("scontrol", "show", "job", self.number).stdout
        found = re.search(rf"\b{name}=(\S*)", shown)
        return found.group(1) if found else ""

    def output(self):
        """Of the script and its steps; of all tasks of an array, one after the other."""
        return "".join(path.read_text()
                       for path in sorted(self.folder.glob(f"*-{self.number}*.out")))

    def prints(self, text, seconds=SECONDS):
        """Whether `text` (a regular expression) comes up in its output in time."""
        return wait_until(lambda: re.search(text, self.output()), seconds)

    def wait(self, seconds=SECONDS):
        """How it ended: COMPLETED, FAILED, NODE_FAIL, ..."""
        ended = run(CLUSTER, "wait", seconds, self.number, seconds=seconds + 30)
        return ended.stdout.split(" ", 1)[1].strip()


class OnLoginNode(unittest.TestCase):
    """Each test has a folder, from which its jobs are submitted and which all nodes see."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def program(self, text):
        """A shell script that a job can run on its tasks."""
        path = self.folder / "program"
        path.write_text("#!/bin/bash\n" + text)
        path.chmod(0o755)
        return path

    def sbatch(self, script, *arguments, options=(), env=None, cwd=None):
        script = script if isinstance(script, pathlib.Path) else ROOT / "slurm" / f"{script}.sbatch"
        return run("sbatch", "--parsable", *options, script, *arguments, env=env,
                   cwd=cwd or self.folder)

    def submit(self, script, *arguments, options=(), env=None):
        submitted = self.sbatch(script, *arguments, options=options, env=env)
        self.assertEqual(submitted.returncode, 0, submitted.stderr)
        job = Job(submitted.stdout.strip(), self.folder)
        self.addCleanup(run, "scancel", "--quiet", "--signal=KILL", "--full", job.number)
        return job

    def assert_ends(self, job, state, *texts, seconds=SECONDS):
        ended = job.wait(seconds)
        self.assertEqual(ended, state, job.output())
        for text in texts:
            self.assertIn(text, job.output())
