# SPDX-License-Identifier: Apache-2.0
"""What the tests of the example programs share."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))  # small_fashion_mnist

SECONDS = 120  # a program that needs longer hangs


def start(*arguments):
    return subprocess.run(list(map(str, arguments)), capture_output=True, text=True,
                          timeout=SECONDS, stdin=subprocess.DEVNULL)


class ExampleTest(unittest.TestCase):
    """Has a folder of its own, which is gone after each test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def assert_refused(self, run, *texts):
        """It failed with one line that says so and has all `texts`."""
        self.assertNotEqual(run.returncode, 0, run.stderr)
        errors = [line for line in run.stderr.splitlines() if ": error: " in line]
        self.assertEqual(len(errors), 1, run.stderr)
        for text in texts:
            self.assertIn(text, errors[0])
