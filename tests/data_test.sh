#!/usr/bin/env bash
# Quality on real data: tests/data_test.sh path/to/tack. TACK_DATA names the data (default
# ../shared/data); without it the test is skipped.
set -u
tack=$(realpath "${1:?usage: data_test.sh path/to/tack}")
root=$(cd "$(dirname "$0")/.." && pwd)
export TACK_HOME=$root TACK_DATA=${TACK_DATA:-$root/../shared/data}
[ -d "$TACK_DATA/banking77" ] || { echo "SKIPPED: no data at $TACK_DATA"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failures=0

# at_least NAME VALUE LIMIT
at_least() {
  echo "$1: $2 (at least $3)"
  awk -v v="$2" -v l="$3" 'BEGIN { exit !(v >= l) }' || { echo "FAIL: $1"; failures=$((failures + 1)); }
}
field() { python3 -c "import json,sys; d=json.load(open('$1'))
for k in '$2'.split('.'): d=d[k]
print(d)"; }

# The limits stand a little below what was measured (docs/benchmarks.md), so that they catch a loss.
"$tack" build "$root/tasks/banking77.toml" -o "$dir/banking77.gguf" --json >"$dir/banking77.json" 2>/dev/null || failures=1
at_least "BANKING77 accuracy" "$(field "$dir/banking77.json" accuracy)" 0.925
"$tack" build "$root/tasks/clinc150.toml" -o "$dir/clinc150.gguf" --json >"$dir/clinc150.json" 2>/dev/null || failures=1
at_least "CLINC150 accuracy" "$(field "$dir/clinc150.json" accuracy)" 0.95
at_least "CLINC150 out-of-scope AUROC" "$(field "$dir/clinc150.json" out_of_scope.auroc.value)" 0.967
at_least "CLINC150 out-of-scope recall" "$(field "$dir/clinc150.json" out_of_scope.recall.value)" 0.85
at_least "STS-B Spearman, int8" \
  "$(python3 "$root/tests/stsb.py" "$tack" "$root/models/all-minilm-l6-v2.int8.gguf" "$TACK_DATA/stsb/stsb-en-test.csv")" 0.816

"$root/tools/prepare_sets.py" "$dir/sets" >/dev/null || failures=1
ships() {  # NAME ROWS MEASURE LIMIT ARGUMENTS...
  local name=$1 rows=$2 measure=$3 limit=$4
  shift 4
  "$tack" eval "$name" "$rows" --json "$@" >"$dir/$name.json" || failures=1
  at_least "$name, $measure" "$(field "$dir/$name.json" "$measure")" "$limit"
}
ships banking-intent "$TACK_DATA/banking77/test.csv" accuracy 0.935
ships financial-sentiment "$dir/sets/sentfin/test.csv" accuracy 0.846
ships snips-slots "$TACK_DATA/snips/test" f1.value 0.955 --label label

# What the file says about itself is what `eval` measures.
"$tack" eval "$dir/banking77.gguf" "$TACK_DATA/banking77/test.csv" --json >"$dir/eval.json"
[ "$(field "$dir/eval.json" accuracy)" = "$(field "$dir/banking77.json" accuracy)" ] ||
  { echo "FAIL: eval and build differ"; failures=$((failures + 1)); }
[ $failures = 0 ]
