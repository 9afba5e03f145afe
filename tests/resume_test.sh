#!/usr/bin/env bash
# Training that is killed, or runs out of disk, loses nothing: what comes out in the end is the model that
# an undisturbed run writes, byte by byte (same_model.py).
#   tests/resume_test.sh path/to/tack [SEED of when it is killed]
set -u
tack=$(realpath "${1:?usage: resume_test.sh path/to/tack}")
root=$(cd "$(dirname "$0")/.." && pwd)
export TACK_HOME=$root
seed=${2:-$RANDOM}
RANDOM=$seed
dir=$(mktemp -d)
trap 'umount "$dir/small" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0

fail() { echo "FAIL (seed $seed): $*"; failures=$((failures + 1)); }

awk 'NR == 1 || NR % 4 == 0' "$root/tasks/data/tickets/test.csv" >few.csv
awk 'NR == 1 || NR % 20 == 0' few.csv >test.csv
cat >train.toml <<EOT
[data]
train = "few.csv"
test = "test.csv"
label = "intent"
oos_label = "oos"
[train]
method = "full"
epochs = 2
batch = 16
average = 0.9
checkpoint_seconds = 0
[student]
layers = 1
[head]
c = [10]
folds = 2
EOT
mkdir whole killed small

build() { "$tack" build train.toml -o "$1/m.gguf" "${@:2}" 2>&1 </dev/null; }
# Waits until a checkpoint was replaced $2 times, or the process $3 ended.
checkpoints() {
  local last="" now
  for ((count = 0; count < $2;)); do
    kill -0 "$3" 2>/dev/null || return
    now=$(stat -c %i "$1/m.gguf.checkpoint" 2>/dev/null)
    if [ -n "$now" ] && [ "$now" != "$last" ]; then count=$((count + 1)) last=$now; fi
    sleep 0.005
  done
}
# Starts a build, kills it after some checkpoints and a moment more.
build_and_kill() {
  "$tack" build train.toml -o "$1/m.gguf" "${@:3}" >/dev/null 2>&1 </dev/null &
  checkpoints "$1" "$2" $!
  sleep 0.0$((RANDOM % 10))
  { kill -9 $! && wait $!; } 2>/dev/null
}
# one_line PATTERN CODE OUTPUT: a failed command said exactly this
one_line() {
  [ "$2" = 1 ] || fail "exit code $2: $3"
  [ "$(grep -c '^tack: ' <<<"$3")" = 1 ] && grep -qE "$1" <<<"$3" || fail "wanted one line of /$1/, got: $3"
}

build whole >/dev/null || fail "the build failed"
# A checkpoint also goes on with more memory, or with less: the bits do not depend on it.
for recompute in false true false; do
  build_and_kill killed $((RANDOM % 6 + 1)) --set train.recompute=$recompute
done
out=$(build killed --set train.recompute=true) || fail "the build that goes on failed: $out"
grep -q 'continued from a checkpoint' <<<"$out" || fail "it began anew: $out"
python3 "$root/tests/same_model.py" whole/m.gguf killed/m.gguf || fail "a killed training ended elsewhere"
[ "$(ls killed)" = m.gguf ] || fail "it left $(ls killed)"

# A checkpoint that cannot be written, for a limit or a full disk: the one before and the model that is
# there stay as they are.
mount -t tmpfs -o size=200m tmpfs small 2>/dev/null && mounted=1 || mounted=0
echo "the model before" >small/m.gguf
build_and_kill small 2
cp small/m.gguf.checkpoint before || fail "no checkpoint after kill -9"
rm -f small/*.tmp
room=$(($(stat -c %s before) / 1024 - 1024))  # KiB: the student's encoder fits, a checkpoint does not
out=$(ulimit -f $room; trap '' XFSZ; build small); code=$?
one_line 'writing the checkpoint.*File too large' $code "$out"
if [ $mounted = 1 ]; then
  head -c $((($(df --output=avail small | tail -1) - room) * 1024)) /dev/zero >small/filler
  out=$(build small); code=$?
  one_line 'writing the checkpoint.*No space left' $code "$out"
  rm small/filler
fi
cmp before small/m.gguf.checkpoint || fail "the checkpoint before is gone"
[ "$(cat small/m.gguf)" = "the model before" ] || fail "the model before is gone"
[ "$(ls small | tr '\n' ' ')" = "m.gguf m.gguf.checkpoint " ] || fail "a full disk left $(ls small)"
out=$(build small) || fail "with space again the build failed: $out"
python3 "$root/tests/same_model.py" whole/m.gguf small/m.gguf || fail "after a full disk the training ended elsewhere"

echo "$failures failures"
[ $failures = 0 ]
