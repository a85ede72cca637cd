#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/slurm-cluster is a cluster, and leaves nothing behind.

Usage: cluster_test.py [unittest's options]   (not on a login node)
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "scripts" / "slurm-cluster"
DIES_WITH_THE_TEST = ["setpriv", "--pdeathsig", "KILL"]
SKIPPED = 77


def cluster(*arguments):
    return subprocess.run([*DIES_WITH_THE_TEST, CLUSTER, *arguments], capture_output=True,
                          text=True, timeout=120, stdin=subprocess.DEVNULL)


def bash(script, *options):
    """Runs it on the login node, in a folder that goes with the cluster."""
    return cluster(*options, "--", "bash", "-euc", f"cd $TMPDIR; {script}")


def processes_with(mark):
    """What has `mark` in its environment or sees a file of that name: all of a cluster."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            is_of_it = mark.encode() in (process / "environ").read_bytes() or \
                (process / "root" / "run" / "slurm" / "files" / mark).exists()
            if is_of_it and (process / "cmdline").read_bytes():  # else it has ended
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            pass  # it has ended meanwhile
    return found


def traces():
    """What a cluster could leave on the machine besides processes."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return {"mounts": pathlib.Path("/proc/mounts").read_text(),
            "links": re.findall(r"(?m)^\d+: ([^:]*):", links), "files": sorted(os.listdir("/run"))}


class Cluster(unittest.TestCase):
    def test_nodes_are_hosts_that_reach_each_other(self):
        run = bash("""
            [[ $(hostname) == login && $(getent hosts node2 | awk '{ print $1 }') == 10.78.0.2 ]]
            sbatch --parsable --wait --nodes=3 --ntasks-per-node=2 --output=/run/slurm/out --wrap \
              'srun bash -c "hostname; ls /dev/shm | wc -l; touch /dev/shm/$(hostname)"' >&2
            sort /run/slurm/out | uniq -c""", "--nodes", "3", "--cpus", "2")

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual([line.split() for line in run.stdout.splitlines()][-3:],
                         [["2", f"node{i}"] for i in (1, 2, 3)])

    def test_the_commands_status_is_the_clusters(self):
        self.assertEqual(bash("exit 7").returncode, 7)

    def test_a_node_fails_and_comes_back(self):
        run = bash(f"""
            job=$(sbatch --parsable --nodes=2 --wrap '
              srun bash -c "echo up; sleep $((SLURM_RESTART_COUNT ? 0 : 600))"')
            until [[ $(grep -cs up slurm-*.out) == 2 ]]; do sleep 0.1; done
            {CLUSTER} fail node2
            ! {CLUSTER} fail node2
            {CLUSTER} boot node2
            ! {CLUSTER} boot node2
            {CLUSTER} wait 60 $job
            scontrol show job $job | grep -o Restarts=1""")

        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("error: node2 is off.", run.stderr)
        self.assertIn("error: node2 is on.", run.stderr)
        self.assertEqual(run.stdout.splitlines()[-2:], ["1 COMPLETED", "Restarts=1"], run.stdout)

    def test_wait_says_how_jobs_end(self):
        run = bash(f"""
            sbatch --wrap true >&2; sbatch --wrap false >&2; sbatch --wrap 'sleep 600' >&2
            until [[ $(squeue --noheader --jobs 3 --format %T) == RUNNING ]]; do sleep 0.1; done
            for jobs in 1 '1 2' 3; do
              {CLUSTER} wait $([[ $jobs == 3 ]] && echo 1 || echo 60) $jobs && echo 0 || echo $?
            done""")

        self.assertEqual(run.stdout.splitlines(),
                         ["1 COMPLETED", "0", "1 COMPLETED", "2 FAILED", "1", "3 RUNNING", "2"])

    def test_gpus_are_given_out(self):
        run = bash("srun --gpus-per-node=2 bash -c 'echo $CUDA_VISIBLE_DEVICES'; "
                   "! srun --gpus-per-node=3 true", "--gpus", "2")

        self.assertEqual((run.returncode, run.stdout), (0, "0,1\n"), run.stderr)

    def test_the_fence_is_slurms_unless_told(self):
        for options, text in (([], "(null)"), (["--fence", "ring"], "ring")):
            run = bash("scontrol show config | sed -n 's/^PMIxCollFence *= *//p'", *options)

            self.assertEqual(run.stdout.strip(), text, run.stderr)

    def test_bad_options_are_named(self):
        for arguments, text in (
            (["--nodes", "0"], "--nodes: 1 to 200"),
            (["--cpus", "x"], "--cpus: at least 1"),
            (["--gpus", "12"], "--gpus: 0 to 9"),
            (["--fence", "x"], "--fence: ring or mixed"),
            (["--rate"], "unknown option --rate"),
            (["--nodes"], "--nodes needs a value"),
            (["fail", "node1"], "for the login node"),
        ):
            run = cluster(*arguments)

            self.assertEqual(run.returncode, 2, arguments)
            self.assertIn(text, run.stderr)
        run = bash(f"{CLUSTER} fail node9")
        self.assertIn("no node node9", run.stderr)

    def test_who_cannot_have_one_is_told_why(self):
        run = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", CLUSTER, "--", "true"],
                             capture_output=True, text=True)

        self.assertEqual(run.returncode, SKIPPED)
        self.assertRegex(run.stderr, r"^SKIPPED: scripts/slurm-cluster: .* need root")


class NothingIsLeft(unittest.TestCase):
    def setUp(self):
        self.before = traces()
        self.mark = f"mark{os.getpid()}x{time.monotonic_ns()}"

    def start(self, script):
        """A cluster with a job whose processes would live on, and `script` once it runs."""
        busy = f"""cd $TMPDIR; touch {self.mark}
            sbatch --nodes=2 --wrap 'srun bash -c "setsid sleep 600 & sleep 600"' >/dev/null
            until [[ $(pgrep -cx sleep) -ge 6 ]]; do sleep 0.1; done; echo busy; {script}"""
        started = subprocess.Popen([*DIES_WITH_THE_TEST, CLUSTER, "--", "bash", "-c", busy],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True,
                                   env={**os.environ, "GOSSIP_MARK": self.mark},
                                   start_new_session=True)
        self.addCleanup(started.stdout.close)
        return started

    def assert_nothing_is_left(self):
        for _ in range(100):  # the kernel takes namespaces apart by and by
            if not processes_with(self.mark) and traces() == self.before:
                break
            time.sleep(0.1)
        self.assertEqual(processes_with(self.mark), [])
        self.assertEqual(traces(), self.before)

    def test_when_the_command_ends(self):
        started = self.start("read")

        self.assertEqual(started.stdout.readline(), "busy\n")
        self.assertEqual(started.wait(60), 1)  # nothing to read
        self.assert_nothing_is_left()

    def test_after_a_signal(self):
        for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130),
                               (signal.SIGTERM, 143)):
            started = self.start("sleep 600")
            self.assertEqual(started.stdout.readline(), "busy\n")
            running = " ".join(processes_with(self.mark))
            for name in ("munged", "slurmctld", "slurmd", "slurmstepd", "sleep 600"):
                self.assertIn(name, running)

            started.send_signal(number)

            self.assertEqual(started.wait(60), status)
            self.assert_nothing_is_left()

    def test_after_a_kill_while_it_starts(self):
        for tenths in range(1, 16, 2):
            started = self.start("sleep 600")
            time.sleep(tenths / 10)

            started.kill()

            started.wait(60)
            self.assert_nothing_is_left()


if __name__ == "__main__":
    attempt = cluster("--", "true")
    if attempt.returncode == SKIPPED:
        sys.stderr.write(attempt.stderr)
        sys.exit(SKIPPED)
    unittest.main()
