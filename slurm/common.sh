# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the job scripts share. A job runs a copy of its script, which finds this file in the
# repository and sources it:
#
#   gossip_begin srun|mpirun   reads the site's file, checks how the tasks lie on the nodes, sets
#                              what programs and srun read, and says what runs where; for srun it
#                              sets the array `gossip_srun_options`
#   gossip_use PROGRAM FOLDER ARGUMENT...   sets the array `command`; --out FOLDER is added for the
#                              example, unless the arguments say where its results go
#   gossip_end STATUS          ends the script with the program's status, and says what it means
#
# $root, the repository, is set by then; $gossip_job and $gossip_results are set here.
set -euo pipefail
root=$(readlink -f "${root:?it is the folder of the repository}")

gossip_die() {
  printf 'error: %s\n' "$1" >&2
  shift
  [[ $# -eq 0 ]] || printf '       %s\n' "$@" >&2
  exit 1
}

gossip_say() { printf '== %s\n' "$*"; }

# The number of one task of an array may also stand for the whole array.
gossip_job=$SLURM_JOB_ID
[[ -z ${SLURM_ARRAY_JOB_ID:-} ]] || gossip_job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

# Where the results of this job belong: the same folder after a restart.
# shellcheck disable=SC2034  # the scripts use it
gossip_results=$SLURM_SUBMIT_DIR/runs/$SLURM_JOB_NAME-$gossip_job

# --- site -----------------------------------------------------------------------------------------

# A site's file may change these: how srun connects the ranks (`srun --mpi=list`), and more options
# of srun and mpirun.
gossip_mpi=pmix
gossip_srun_options=()
# shellcheck disable=SC2034  # train-mpirun.sbatch uses it
gossip_mpirun_options=(--bind-to none) # a rank's threads need more than one core

gossip_read_site() {
  [[ -n ${GOSSIP_SITE:-} ]] || return 0
  local file=$GOSSIP_SITE
  [[ $file == */* ]] || file=$root/slurm/site/$file.sh
  [[ -r $file ]] ||
    gossip_die "GOSSIP_SITE is '$GOSSIP_SITE', but there is no file $file." \
      "Known here: $(cd "$root/slurm/site" && printf '%s ' *.sh)or the path of your own."
  # shellcheck source=site/template.sh
  source "$file"
}

# --- layout ---------------------------------------------------------------------------------------

# One task for each GPU, or for each group of --cpus-per-task cores, alike on all nodes.
gossip_check_layout() {
  local per_node=${SLURM_TASKS_PER_NODE%%(*} gpus=${SLURM_GPUS_ON_NODE:-0}
  [[ $SLURM_NTASKS -eq $((SLURM_JOB_NUM_NODES * per_node)) ]] ||
    gossip_die "$SLURM_NTASKS tasks do not lie evenly on $SLURM_JOB_NUM_NODES nodes." \
      "Ask for them with --nodes and --ntasks-per-node instead of --ntasks."
  [[ $gpus -eq 0 || $gpus -eq $per_node ]] ||
    gossip_die "each task trains on one GPU, but a node has $per_node tasks and $gpus GPUs." \
      "Submit with --ntasks-per-node=$gpus, or with --gpus-per-node=$per_node."
  [[ $gpus -eq 0 || -z ${SLURM_GPUS_PER_TASK:-} ]] ||
    gossip_die "--gpus-per-task hides the other tasks' GPUs from each task: MPI and NCCL cannot" \
      "copy between GPUs then. Submit with --gpus-per-node=$gpus; a rank takes that of its number."
  [[ $((per_node * ${SLURM_CPUS_PER_TASK:-1})) -le $SLURM_CPUS_ON_NODE ]] ||
    gossip_die "$per_node tasks of ${SLURM_CPUS_PER_TASK:-1} cores need more than the" \
      "$SLURM_CPUS_ON_NODE that the job has on a node." \
      "Submit with a smaller --cpus-per-task or --ntasks-per-node."
}

gossip_set_environment() {
  export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
  # Since Slurm 22.05 srun does not take it over from sbatch.
  export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
  # Slurm's default lets a rank leave the first fence too early; some starts on several nodes die
  # then.
  export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}
}

gossip_begin() {
  gossip_read_site
  gossip_check_layout
  gossip_set_environment
  gossip_say "job $gossip_job '$SLURM_JOB_NAME', restart ${SLURM_RESTART_COUNT:-0}," \
    "$(date '+%Y-%m-%d %H:%M:%S')"
  gossip_say "nodes: $SLURM_JOB_NUM_NODES ($SLURM_JOB_NODELIST); on each" \
    "${SLURM_TASKS_PER_NODE%%(*} tasks of ${SLURM_CPUS_PER_TASK:-1} cores," \
    "${SLURM_GPUS_ON_NODE:-0} GPUs"
  local commit
  commit=$(git -c safe.directory='*' -C "$root" describe --always --dirty 2>/dev/null) ||
    commit=unknown
  gossip_say "libgossip: $root, commit $commit"
  gossip_say "$(srun --version); site: ${GOSSIP_SITE:-none}"
  scontrol show job "$gossip_job"
  [[ $1 == mpirun ]] || gossip_choose_srun_options
}

gossip_choose_srun_options() {
  local known
  known=$(srun --mpi=list 2>&1 | xargs)
  [[ " $known " == *" $gossip_mpi "* ]] ||
    gossip_die "srun has no --mpi=$gossip_mpi here: $known" \
      "Set gossip_mpi in your site's file (slurm/site), or use slurm/train-mpirun.sbatch."
  # A task that fails ends the others at once, one that hangs after the first one's end a minute
  # later.
  gossip_srun_options=(--mpi="$gossip_mpi" --kill-on-bad-exit=1 --wait=60
    "${gossip_srun_options[@]}")
}

# --- programs -------------------------------------------------------------------------------------

gossip_example=$root/build/release/examples/fashion_mnist

gossip_use() {
  local program=$1 folder=$2
  shift 2
  [[ -f $program && -x $program ]] ||
    gossip_die "there is no program $program." \
      "Build it in the environment of this cluster (scripts/setup, or cmake with the site's MPI)," \
      "or name another one: GOSSIP_PROGRAM=/path/to/program sbatch ..."
  command=("$program" "$@")
  [[ $program != "$gossip_example" || " $* " == *" --out"* ]] || command+=(--out "$folder")
  gossip_say "command: ${command[*]}"
}

gossip_end() {
  local status=$1
  if [[ $status -eq 0 ]]; then
    gossip_say "done"
  else
    printf 'error: the program ended with status %s on %s; the first message above says why.\n' \
      "$status" "$SLURM_JOB_NODELIST" >&2
    printf '       docs/slurm.md has a table of troubles and cures.\n' >&2
  fi
  exit "$status"
}
