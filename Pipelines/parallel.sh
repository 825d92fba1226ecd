#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs a list of dubs (syncdiff batch) in N processes at a time, with GNU parallel. After any interruption the same command
# resumes. With --sshlogin in PARALLEL they run on several machines that share the files.
#
#   parallel.sh MANIFEST N [OPTION OF syncdiff batch]...
set -eu
[ $# -ge 2 ] || { echo "usage: $0 MANIFEST N [OPTION OF syncdiff batch]..." >&2; exit 2; }
syncdiff=${SYNCDIFF:-$(realpath "$(dirname "$0")/../.build/release/syncdiff")} manifest=$1 n=$2
shift 2

seq "$n" | parallel --quote --jobs "$n" --line-buffer "$syncdiff" batch "$manifest" --share "{}/$n" "$@"
