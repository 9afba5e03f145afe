#!/usr/bin/env bash
# What trained decoders say, token for token as transformers (tests/golden/greedy.json): checkpoints of
# llama2.c, through tools/llama2c_to_hf.py, as Hugging Face directories and as GGUF.
#   tests/greedy_test.sh path/to/tack path/to/tack_engine_test     TACK_DATA names the data
set -eu
tack=$(realpath "${1:?usage: greedy_test.sh path/to/tack path/to/tack_engine_test}")
checks=$(realpath "${2:?usage: greedy_test.sh path/to/tack path/to/tack_engine_test}")
root=$(cd "$(dirname "$0")/.." && pwd)
weights=${TACK_DATA:-$root/../shared/data}/weights
[ -d "$weights" ] || { echo "SKIPPED: no weights at $weights"; exit 77; }
TACK_GREEDY=$(mktemp -d)
export TACK_GREEDY
trap 'rm -rf "$TACK_GREEDY"' EXIT
golden() { python3 -c "
import json
for name, model in json.load(open('$root/tests/golden/greedy.json')).items(): print(name, model['checkpoint'])"; }
golden | while read -r name checkpoint; do
  python3 "$root/tools/llama2c_to_hf.py" "$weights/$checkpoint" "$TACK_GREEDY/$name"
  "$tack" convert "$TACK_GREEDY/$name" "$TACK_GREEDY/$name.gguf" --type f32
done
"$checks" --gtest_filter='GreedyData.*'
