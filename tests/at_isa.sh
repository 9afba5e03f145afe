#!/usr/bin/env bash
# Runs a test program at one level of kernels: at_isa.sh path/to/tack LEVEL PROGRAM [ARGUMENTS]
set -eu
tack=$1 isa=$2
shift 2
if ! TACK_ISA=$isa "$tack" version >/dev/null 2>&1; then
  echo "SKIPPED: this processor has no $isa"
  exit 77
fi
TACK_ISA=$isa exec "$@"
