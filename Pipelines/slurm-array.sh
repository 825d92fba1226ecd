#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs a list of dubs (syncdiff batch) as a Slurm job array of N tasks, each with its share of the list; waits for all of
# them. A task whose process is killed restarts, as does one whose node fails (--requeue); neither repeats what is done
# already. After any interruption the same command resumes. Options for sbatch: in its environment variables, such as
# SBATCH_PARTITION.
#
#   slurm-array.sh MANIFEST N [OPTION OF syncdiff batch]...
set -eu
[ $# -ge 2 ] || { echo "usage: $0 MANIFEST N [OPTION OF syncdiff batch]..." >&2; exit 2; }
syncdiff=${SYNCDIFF:-$(realpath "$(dirname "$0")/../.build/release/syncdiff")} manifest=$1 n=$2
shift 2

command=$(printf '%q ' "$syncdiff" batch "$manifest" "$@")
exec sbatch --wait --requeue --array="1-$n" --job-name=syncdiff --wrap="
  for try in 1 2 3 4 5; do
    $command --share \$SLURM_ARRAY_TASK_ID/$n && exit
    status=\$?
    [ \$status -eq 137 ] || exit \$status  # SIGKILL: no memory, or somebody's hand
  done
  exit \$status"
