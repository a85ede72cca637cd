# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts share; to be sourced:  source "$(dirname "$(readlink -f "$0")")/lib.sh"
#
#   gossip_setup              packages, LibTorch and configuration; each step only when needed
#   gossip_build [TARGET...]  builds in $gossip_build_dir; everything when no target is named
#   gossip_mpirun N SECONDS COMMAND...   COMMAND on N ranks of this machine, ended after SECONDS
#   say, die                  a line of progress; the end, with what to do
#
# After sourcing, $gossip_root is the repository and $gossip_build_dir the build folder. The scripts
# work from any folder and leave the caller's one alone.
set -euo pipefail

gossip_root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
gossip_build_dir=$gossip_root/build/release

# The pinned LibTorch: enough to compile, link and run CPU programs.
gossip_libtorch_pins=(torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
gossip_libtorch_dir=$gossip_root/.deps/libtorch
gossip_libtorch_needs_mb=3000  # to download and unpack

# Lets ccache serve the precompiled headers.
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}

say() {
  printf '\033[1m==>\033[0m %s\n' "$*" | if [[ -t 1 ]]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi
}

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  [[ $# -eq 0 ]] || printf '       %s\n' "$@" >&2
  exit 1
}

# Debian's python3 rather than another one that stands first in PATH.
gossip_python() {
  if [[ -x /usr/bin/python3 ]]; then /usr/bin/python3 "$@"; else python3 "$@"; fi
}

gossip_setup() {
  gossip_setup_packages
  gossip_setup_libtorch
  gossip_configure
}

# --- packages -----------------------------------------------------------------------------------------

gossip_setup_packages() {
  command -v dpkg-query >/dev/null || { gossip_check_tools; return; }
  local wanted installed missing command
  wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$gossip_root/scripts/packages.txt" | sort)
  # shellcheck disable=SC2016,SC2086  # dpkg's own variables; one argument a package
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
    sed -n 's/ installed$//p' | sort -u) || true
  missing=$(comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$installed") | tr '\n' ' ')
  [[ -n ${missing// /} ]] || return 0

  command="apt-get install -y --no-install-recommends ${missing% }"
  local as_root=()
  if [[ $EUID -ne 0 ]]; then
    as_root=(sudo)
    if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo true; }; }; then
      die "Debian packages are missing, and this user may not install them. Have them installed by" \
        "  sudo sh -c 'apt-get update && $command'" "and start again."
    fi
  fi
  say "installing Debian packages: ${missing% }"
  # A fresh machine has no package lists; a failure here shows in the install below.
  "${as_root[@]}" apt-get update -q || true
  # shellcheck disable=SC2086  # one argument a package
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $command ||
    die "the packages could not be installed (see above). Once the cause is gone, start again or run" \
      "  $command"
}

# Not a Debian: the names of packages differ, so only look whether the tools are there.
gossip_check_tools() {
  local tool missing=()
  for tool in g++ cmake ninja ccache mpirun pkg-config git python3; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [[ ${#missing[@]} -eq 0 ]] ||
    die "this is not Debian, and these tools are missing: ${missing[*]}." \
      "Install them, and what scripts/packages.txt lists, with the system's package manager."
}

# --- LibTorch -----------------------------------------------------------------------------------------

# Sets LibTorch_ROOT, unless the user did.
gossip_setup_libtorch() {
  if [[ -n ${LibTorch_ROOT:-} ]]; then
    [[ -e $LibTorch_ROOT/lib/libtorch_cpu.so ]] ||
      die "LibTorch_ROOT is $LibTorch_ROOT, but there is no lib/libtorch_cpu.so below it." \
        "Set it to the folder of the torch package, or unset it to have LibTorch installed."
  else
    gossip_libtorch_complete || gossip_install_libtorch
    LibTorch_ROOT=$gossip_libtorch_dir/torch
  fi
  export LibTorch_ROOT
}

gossip_libtorch_complete() {
  [[ -r $gossip_libtorch_dir/.complete && $(<"$gossip_libtorch_dir/.complete") == "${gossip_libtorch_pins[*]}" ]]
}

# Installs beside the final place and renames, so that an interrupted installation is never taken for a
# whole one.
gossip_install_libtorch() {
  local deps=$gossip_root/.deps partial free_mb
  mkdir -p "$deps" || die "cannot write to $gossip_root; clone the repository to a place of your own."
  exec {gossip_lock}>"$deps/.lock"
  flock "$gossip_lock"  # two scripts at once: the second finds the work done
  if ! gossip_libtorch_complete; then
    partial=$deps/libtorch.partial
    rm -rf "$partial"
    free_mb=$(df -Pm "$deps" | awk 'NR == 2 { print $4 }')
    [[ $free_mb -ge $gossip_libtorch_needs_mb ]] ||
      die "LibTorch needs $gossip_libtorch_needs_mb MB in $deps, but only $free_mb MB are free." \
        "Make room, or set LibTorch_ROOT to the folder of an existing torch package (2.11)."
    say "installing LibTorch (${gossip_libtorch_pins[*]}; some 550 MB to download)"
    # Unpack next to the target: /tmp may be small.
    mkdir -p "$partial/tmp"
    TMPDIR=$partial/tmp gossip_python -m pip install --no-deps --no-compile --no-cache-dir \
      --disable-pip-version-check --root-user-action ignore --target "$partial/libtorch" \
      "${gossip_libtorch_pins[@]}" ||
      die "LibTorch could not be installed (see above). Check the network and start again, or set" \
        "LibTorch_ROOT to the folder of an existing torch package (2.11)."
    printf '%s\n' "${gossip_libtorch_pins[*]}" >"$partial/libtorch/.complete"
    rm -rf "$gossip_libtorch_dir"
    mv "$partial/libtorch" "$gossip_libtorch_dir"
    rm -rf "$partial"
  fi
  exec {gossip_lock}>&-
}

# --- configure and build ------------------------------------------------------------------------------

gossip_configure() {
  local stamp=$gossip_build_dir/.configured_by_scripts werror=OFF want
  # Warnings are errors with the compiler that they were silenced for; a newer one may know others.
  [[ $(g++ -dumpversion) == 12* ]] && werror=ON
  want="$LibTorch_ROOT $werror $(cmake --version | head -n 1)"
  # ninja configures again by itself when a CMake file has changed
  if [[ -e $gossip_build_dir/build.ninja && -r $stamp && $(<"$stamp") == "$want" ]]; then return; fi
  say "configuring"
  # -U: forget a LibTorch that stood elsewhere
  (cd "$gossip_root" && cmake --preset release -DGOSSIP_WERROR=$werror -U 'LibTorch_*') ||
    die "the configuration failed (see above)." \
      "If the build folder is damaged, remove it and start again: rm -r $gossip_build_dir"
  printf '%s\n' "$want" >"$stamp"
}

gossip_build() {
  local target targets=()
  for target in "$@"; do targets+=(--target "$target"); done
  say "building ${*:-everything}"
  NINJA_STATUS=${NINJA_STATUS:-'[%f/%t %es] '} \
    cmake --build "$gossip_build_dir" -j "$(gossip_jobs)" "${targets[@]}" ||
    die "the build failed (see the first error above)."
}

# One job a core, but only as many as memory allows: a file with torch/torch.h takes up to 2 GB.
gossip_jobs() {
  local cores memory_gb
  cores=$(nproc)
  memory_gb=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
  local jobs=$((memory_gb / 2 < cores ? memory_gb / 2 : cores))
  echo $((jobs > 0 ? jobs : 1))
}

# --- MPI ----------------------------------------------------------------------------------------------

# Open MPI 4 (OMPI_) and 5 (PRTE_): more ranks than cores, and root in containers.
gossip_mpi_environment() {
  export OMPI_MCA_rmaps_base_oversubscribe=${OMPI_MCA_rmaps_base_oversubscribe:-1}
  export PRTE_MCA_rmaps_default_mapping_policy=${PRTE_MCA_rmaps_default_mapping_policy:-:oversubscribe}
  export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle:-1}
  if [[ $EUID -eq 0 ]]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
}

# gossip_mpirun RANKS SECONDS COMMAND...
gossip_mpirun() {
  local ranks=$1 seconds=$2
  shift 2
  gossip_mpi_environment
  # --foreground: an interrupt from the keyboard reaches the ranks
  timeout --foreground --kill-after=10 "$seconds" mpirun --bind-to none -n "$ranks" "$@" </dev/null
}
