#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the job scripts of slurm/ do themselves, with programs of one line.

On the login node of a cluster.

Usage: scripts/slurm-cluster --nodes 4 --cpus 8 --gpus 2 -- scripts_test.py
"""

import re
import unittest

from login_node import CLUSTER, ROOT, Job, OnLoginNode, run, wait_until

SCRIPTS = sorted(path.stem for path in (ROOT / "slurm").glob("*.sbatch"))
PAIR = ["--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1"]


class Submission(OnLoginNode):
    def test_slurm_takes_every_script(self):
        self.assertEqual(len(SCRIPTS), 6)
        for script in SCRIPTS:
            submitted = self.sbatch(script, options=["--test-only"])

            self.assertEqual(submitted.returncode, 0, submitted.stderr)

    def test_a_script_is_no_program(self):
        started = run("bash", ROOT / "slurm" / "train.sbatch")

        self.assertNotEqual(started.returncode, 0)
        self.assertIn("submit it with sbatch", started.stderr)

    def test_the_repository_is_found_by_a_path_and_by_a_link(self):
        program = self.program("echo here")
        link = self.folder / "mine.sbatch"
        link.symlink_to(ROOT / "slurm" / "train.sbatch")
        for script in ("train", link):
            job = self.submit(script, options=PAIR, env={"GOSSIP_PROGRAM": str(program)})

            self.assert_ends(job, "COMPLETED", f"libgossip: {ROOT}", "here\n")

    def test_a_copy_needs_to_be_told_the_repository(self):
        program = self.program("echo here")
        copy = self.folder / "copy.sbatch"
        copy.write_text((ROOT / "slurm" / "train.sbatch").read_text())

        job = self.submit(copy, env={"GOSSIP_PROGRAM": str(program)})
        self.assert_ends(job, "FAILED", "set GOSSIP_ROOT to it")
        job = self.submit(copy, env={"GOSSIP_PROGRAM": str(program), "GOSSIP_ROOT": str(ROOT)})
        self.assert_ends(job, "COMPLETED", "here\n")

    def test_a_missing_program_is_named(self):
        job = self.submit("train", env={"GOSSIP_PROGRAM": "/none/train"})

        self.assert_ends(job, "FAILED", "there is no program /none/train", "scripts/setup")


class Launch(OnLoginNode):
    def test_tasks_lie_on_their_nodes_with_their_threads(self):
        program = self.program('echo "$SLURM_PROCID on $(hostname): $OMP_NUM_THREADS threads, $*"')
        job = self.submit("train", "one", "two words",
                          options=["--nodes=4", "--ntasks-per-node=2", "--cpus-per-task=3"],
                          env={"GOSSIP_PROGRAM": str(program), "OMP_NUM_THREADS": "1"})

        self.assert_ends(job, "COMPLETED", "nodes: 4 (node[1-4]); on each 2 tasks of 3 cores",
                         "restart 0", "slurm-wlm", "JobState=RUNNING")
        lines = sorted(line for line in job.output().splitlines() if " on node" in line)
        self.assertEqual(lines,
                         [f"{rank} on node{1 + rank // 2}: 3 threads, one two words"
                          for rank in range(8)])

    def test_mpirun_starts_as_many(self):
        program = self.program(
            'echo "$OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE'
            ' on $(hostname): $OMP_NUM_THREADS threads"')
        job = self.submit("train-mpirun",
                          options=["--nodes=4", "--ntasks-per-node=2", "--cpus-per-task=2"],
                          env={"GOSSIP_PROGRAM": str(program)})

        self.assert_ends(job, "COMPLETED")
        lines = sorted(line for line in job.output().splitlines() if " on node" in line)
        self.assertEqual(lines,
                         [f"{rank} of 8 on node{1 + rank // 2}: 2 threads" for rank in range(8)])

    def test_a_task_that_fails_ends_the_job(self):
        program = self.program(
            '[[ $SLURM_PROCID$OMPI_COMM_WORLD_RANK != 01 && $SLURM_PROCID != 1 ]] || exit 7\n'
            'sleep 600')
        for script in ("train", "train-mpirun"):
            job = self.submit(script, options=PAIR, env={"GOSSIP_PROGRAM": str(program)})

            self.assert_ends(job, "FAILED", "the program ended with status", "docs/slurm.md")

    def test_each_task_sees_the_gpus_of_its_node(self):
        program = self.program(
            'echo "task ${OMPI_COMM_WORLD_LOCAL_RANK:-$SLURM_LOCALID} sees $CUDA_VISIBLE_DEVICES"')
        for script in ("train", "train-mpirun"):
            job = self.submit(script, options=[*PAIR, "--gpus-per-node=2"],
                              env={"GOSSIP_PROGRAM": str(program)})

            self.assert_ends(job, "COMPLETED", "1 cores, 2 GPUs")
            for task in (0, 1):
                self.assertEqual(job.output().count(f"task {task} sees 0,1\n"), 2, job.output())

    def test_a_layout_that_does_not_fit_is_refused(self):
        program = self.program("echo started")
        for options, text in (
            (["--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=2"],
             "a node has 1 tasks and 2 GPUs"),
            (["--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--gpus-per-task=1"],
             "--gpus-per-task hides"),
            (["--nodes=2", "--ntasks=3", "--ntasks-per-node=2"],
             "3 tasks do not lie evenly on 2 nodes"),
        ):
            job = self.submit("train", options=options, env={"GOSSIP_PROGRAM": str(program)})

            self.assert_ends(job, "FAILED", text)
            self.assertNotIn("started", job.output())

    def test_a_lost_node_ends_the_job(self):
        program = self.program("echo up; sleep 600")
        job = self.submit("train", options=["--nodes=3", "--ntasks-per-node=1"],
                          env={"GOSSIP_PROGRAM": str(program)})
        self.assertTrue(job.prints(r"(?s)(up.*){3}"), job.output())
        self.addCleanup(run, CLUSTER, "boot", "node3")

        run(CLUSTER, "fail", "node3")

        self.assert_ends(job, "NODE_FAIL", "Node failure on node3")


class Site(OnLoginNode):
    def test_the_sites_file_is_read(self):
        program = self.program('echo "over $OMPI_MCA_btl_tcp_if_include"')
        own = self.folder / "own.sh"
        own.write_text(
            "export OMPI_MCA_btl_tcp_if_include=10.0.0.0/8\ngossip_srun_options+=(--label)\n")
        for site, text in (("ethernet", "over eth0\n"), (str(own), "0: over 10.0.0.0/8\n"),
                           ("template", "over \n")):
            job = self.submit("train", options=PAIR,
                              env={"GOSSIP_PROGRAM": str(program), "GOSSIP_SITE": site})

            self.assert_ends(job, "COMPLETED", text)

    def test_an_unknown_site_and_mpi_are_named(self):
        program = self.program("true")
        job = self.submit("train", env={"GOSSIP_PROGRAM": str(program), "GOSSIP_SITE": "mars"})
        self.assert_ends(job, "FAILED", "GOSSIP_SITE is 'mars'", "ethernet.sh")

        own = self.folder / "own.sh"
        own.write_text("gossip_mpi=pmix_v9\n")
        job = self.submit("train", env={"GOSSIP_PROGRAM": str(program), "GOSSIP_SITE": str(own)})
        self.assert_ends(job, "FAILED", "srun has no --mpi=pmix_v9 here", "train-mpirun.sbatch")


class Requeue(OnLoginNode):
    def test_a_job_comes_back_until_it_is_done(self):
        program = self.program('[[ $SLURM_RESTART_COUNT -ge 1 ]] && exit 0; exit 99')
        job = self.submit("requeue", options=PAIR, env={"GOSSIP_PROGRAM": str(program)})

        self.assert_ends(job, "COMPLETED", "restart 0", "queues again", "restart 1", "== done")
        self.assertEqual(job.field("Restarts"), "1")

    def test_signals_reach_the_ranks(self):
        program = self.program('[[ $SLURM_RESTART_COUNT == 2 ]] && exit 0\n'
                               'trap "echo saves; exit 99" USR1\n'
                               'echo up; while :; do sleep 0.1; done')
        job = self.submit("requeue", options=PAIR, env={"GOSSIP_PROGRAM": str(program)})
        for restart, name in enumerate(("USR1", "TERM")):
            self.assertTrue(job.prints(f"(?s)restart {restart}.*(up.*){{4}}"), job.output())

            run("scancel", "--batch", f"--signal={name}", job.number)

        self.assert_ends(job, "COMPLETED")
        self.assertEqual(job.output().count("saves\n"), 8)

    def test_restarts_have_an_end(self):
        program = self.program("exit 99")
        job = self.submit("requeue", options=PAIR,
                          env={"GOSSIP_PROGRAM": str(program), "GOSSIP_MOST_RESTARTS": "1"})

        self.assert_ends(job, "FAILED", "not finished after 1 restarts", "GOSSIP_CHECKPOINTS=")
        self.assertEqual(job.field("Restarts"), "1")

    def test_a_failure_is_no_reason_to_come_back(self):
        program = self.program("exit 3")
        job = self.submit("requeue", options=PAIR, env={"GOSSIP_PROGRAM": str(program)})

        self.assert_ends(job, "FAILED", "ended with status 3")
        self.assertEqual(job.field("Restarts"), "0")

    def test_a_cancelled_job_stays_away(self):
        program = self.program('trap "exit 99" USR1 TERM; echo up; while :; do sleep 0.1; done')
        job = self.submit("requeue", options=PAIR, env={"GOSSIP_PROGRAM": str(program)})
        self.assertTrue(job.prints("(?s)(up.*){4}"), job.output())

        run("scancel", job.number)

        self.assertTrue(wait_until(lambda: not run("squeue", "--noheader", "--jobs",
                                                   job.number).stdout))
        self.assert_ends(job, "CANCELLED")
        self.assertEqual(job.field("Restarts"), "0")

    def test_a_task_of_an_array_comes_back_alone(self):
        program = self.program(
            '[[ $SLURM_ARRAY_TASK_ID == 1 && ! $SLURM_RESTART_COUNT ]] && exit 99; exit 0')
        job = self.submit("requeue", options=[*PAIR, "--array=0-1"],
                          env={"GOSSIP_PROGRAM": str(program)})

        self.assert_ends(job, "COMPLETED")
        self.assertEqual([Job(f"{job.number}_{task}", self.folder).field("Restarts")
                          for task in (0, 1)], ["0", "1"])

    def test_the_program_gets_its_options(self):
        program = self.program('echo "$*"')
        job = self.submit("requeue", "--epochs", "3", options=[*PAIR, "--job-name=mine"],
                          env={"GOSSIP_PROGRAM": str(program), "GOSSIP_CHECKPOINT_EVERY": "50"})

        folder = f"{self.folder}/runs/mine-{job.number}/checkpoints"
        self.assert_ends(job, "COMPLETED",
                         f"--epochs 3 --checkpoint {folder}"
                         " --checkpoint-every 50 --keep 2 --resume\n")


class FaultTolerant(OnLoginNode):
    OPTIONS = ["--nodes=3", "--cpus-per-task=1"]

    def train(self, program, *arguments, env=None):
        return self.submit("fault-tolerant", *arguments, options=self.OPTIONS,
                           env={"GOSSIP_PROGRAM": str(self.program(program)), **(env or {})})

    def lose_a_node(self, job):
        self.addCleanup(run, CLUSTER, "boot", "node3")
        self.assertTrue(job.prints(r"(?s)(up.*){3}"), job.output())
        run(CLUSTER, "fail", "node3")

    def test_ranks_that_end_with_a_lost_one_start_again_without_it(self):
        lost = self.folder / "lost"
        job = self.train(f'[[ -e {lost} ]] && echo "again: $SLURM_PROCID on $(hostname)" && exit\n'
                         f'echo up; until [[ -e {lost} ]]; do sleep 0.1; done; exit 9')
        self.lose_a_node(job)
        lost.touch()

        self.assert_ends(job, "COMPLETED",
                         "ended with status 9 after a node was lost; it starts again on node[1-2]",
                         "again: 0 on node1\n", "again: 1 on node2\n")
        self.assertEqual(job.output().count("again: "), 2)

    def test_ranks_that_finish_without_a_lost_one_do_not(self):
        lost = self.folder / "lost"
        results = self.folder / "runs" / "gossip-fault-tolerant-$SLURM_JOB_ID"
        job = self.train(
            f'echo up; until [[ -e {lost} ]]; do sleep 0.1; done\nmkdir -p "{results}"\n'
                         f'echo \'{{"status": "complete"}}\' >"{results}/result.json"; exit 9')
        self.lose_a_node(job)
        lost.touch()

        self.assert_ends(job, "COMPLETED", "== done")
        self.assertNotIn("starts again", job.output())

    def test_a_program_that_fails_by_itself_does_not(self):
        job = self.train("exit 9")

        self.assert_ends(job, "FAILED", "ended with status 9")
        self.assertNotIn("starts again", job.output())

    def test_the_program_gets_its_options(self):
        job = self.train('echo "$*"', "--epochs", 3, env={"GOSSIP_CHECKPOINT_EVERY": "50"})

        folder = f"{self.folder}/runs/gossip-fault-tolerant-{job.number}/checkpoints"
        self.assert_ends(job, "COMPLETED",
                         "--optimizer ad-psgd --topology complete --on-lost-neighbor drop"
                         " --neighbor-timeout 60 --epochs 3"
                         f" --checkpoint {folder} --checkpoint-every 50 --keep 2 --resume\n")


class Sweep(OnLoginNode):
    def sweep(self, text, *arguments):
        path = self.folder / "sweep.toml"
        path.write_text(text)
        return run(ROOT / "slurm" / "sweep", path, *arguments)

    def test_a_list_stands_for_all_combinations(self):
        text = ('lr = 0.1\n[[runs]]\noptimizer = ["a", "b"]\ntopology = ["x", "y"]\n'
                '[[runs]]\noptimizer = "c"\noverlap = true\n')

        self.assertEqual(self.sweep(text).stdout.splitlines()[-1],
                         "sbatch --array=0-4 slurm/array.sbatch")
        self.assertEqual(self.sweep(text, "--run", 2).stdout.splitlines(),
                         ["2-b-x", "--lr", "0.1", "--optimizer", "b", "--topology", "x"])
        self.assertEqual(self.sweep(text, "--run", 4).stdout.splitlines()[3:],
                         ["--optimizer", "c", "--overlap"])

    def test_what_a_list_must_not_hold_is_named(self):
        for text, arguments, message in (
            ("lr = ", [], "not TOML"),
            ("lr = []", [], "'lr' is an empty list"),
            ("lr = [[1]]", [], "'lr' is [1]"),
            ("runs = 3", [], "[[runs]]"),
            ("lr = [1, 2]", ["--run", 2], "--array=0-1"),
        ):
            refused = self.sweep(text, *arguments)

            self.assertEqual(refused.returncode, 1, text)
            self.assertIn(message, refused.stderr)

    def test_each_task_of_the_array_has_its_run(self):
        (self.folder / "list.toml").write_text('optimizer = ["a", "b", "c"]\n')
        program = self.program('[[ $SLURM_PROCID != 0 ]] || echo "arguments: $*"')
        job = self.submit("array", "--seed", 2, options=[*PAIR, "--array=0-2"],
                          env={"GOSSIP_PROGRAM": str(program),
                               "GOSSIP_SWEEP": str(self.folder / "list.toml")})

        self.assert_ends(job, "COMPLETED")
        folder = f"{self.folder}/runs/gossip-sweep-{job.number}"
        self.assertEqual(re.findall("arguments: (.*)", job.output()),
                         [f"--optimizer {name} --seed 2 --out {folder}/{number}-{name}"
                          for number, name in enumerate("abc")])


class Usage(unittest.TestCase):
    def test_the_readme_lists_every_variable(self):
        readme = (ROOT / "slurm" / "README.md").read_text()
        for path in [*(ROOT / "slurm").glob("*.sbatch"), *(ROOT / "slurm").glob("*.sh"),
                     *(ROOT / "slurm" / "site").glob("*.sh")]:
            for name in set(re.findall(r"\$\{(GOSSIP_[A-Z_]+)", path.read_text())):
                self.assertIn(f"`{name}`", readme, path.name)


if __name__ == "__main__":
    unittest.main()
