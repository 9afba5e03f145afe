#!/usr/bin/env bash
# Runs a program with TACK_DATA naming the data (default ../shared/data), skipped without it:
# tests/with_data.sh PROGRAM ARGUMENTS...
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
export TACK_DATA=${TACK_DATA:-$root/../shared/data}
[ -d "$TACK_DATA" ] || { echo "SKIPPED: no data at $TACK_DATA"; exit 77; }
exec "$@"
