# Sourced by the tests that run the program: where it is, a directory of its own to work in, checks.
# $1 is the path of tack. Bad input must get one clear line, and leave nothing half-written.
set -u
tack=$(realpath "${1:?usage: $0 path/to/tack}")
root=$(cd "$(dirname "$0")/.." && pwd)
export TACK_HOME=$root
base=$root/models/all-minilm-l6-v2.int8.gguf
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir" 2>/dev/null; umount "$dir/small" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0 checks=0

fail() { echo "FAIL: $*"; failures=$((failures + 1)); }

# good PATTERN COMMAND...: exit code 0, and the output matches the extended regular expression
good() {
  local pattern=$1 code out
  shift
  checks=$((checks + 1))
  out=$("$@" 2>&1 </dev/null); code=$?
  [ "$code" = 0 ] || { fail "$* : exit code $code: ${out:0:300}"; return; }
  printf '%s' "$out" | grep -qE -- "$pattern" || fail "$* : wanted /$pattern/, got: ${out:0:400}"
}
# bad CODE PATTERN COMMAND...: that exit code, and exactly one line of error that matches
bad() {
  local wanted=$1 pattern=$2 code err
  shift 2
  checks=$((checks + 1))
  err=$("$@" 2>&1 >/dev/null </dev/null); code=$?
  [ "$code" = "$wanted" ] || { fail "$* : exit code $code, wanted $wanted: ${err:0:300}"; return; }
  [ "$(printf '%s\n' "$err" | wc -l)" = 1 ] || fail "$* : more than one line: $err"
  printf '%s' "$err" | grep -qE -- "$pattern" || fail "$* : wanted /$pattern/, got: ${err:0:400}"
}

# after_training COMMAND...: without the lines that say how far its training came, for bad()
after_training() {
  { "$@" 2>&1 1>&3 | grep -vE '^[a-z]+ +[0-9]+%  ' >&2; return "${PIPESTATUS[0]}"; } 3>&1
}

one_line() { "$@" 2>&1 | tr '\n' ' '; return "${PIPESTATUS[0]}"; }
# same WHAT A B: both are the same text
same() { checks=$((checks + 1)); [ "$2" = "$3" ] || fail "$1: ${2:0:300} / ${3:0:300}"; }
# killed_at_checkpoint FILE COMMAND...: starts the command, and kills it (-9) once FILE is there
killed_at_checkpoint() {
  local file=$1
  shift
  checks=$((checks + 1))
  "$@" >/dev/null 2>&1 &
  for _ in $(seq 1200); do [ -f "$file" ] && break; sleep 0.05; done
  { kill -9 $!; wait $!; } 2>/dev/null
  [ -f "$file" ] || fail "no $file after kill -9"
}
# small_disk: a file system of 1 MB at small/; fails where that cannot be made
small_disk() { mkdir -p small && mount -t tmpfs -o size=1m tmpfs small 2>/dev/null; }
finish() {
  [ -z "$(ls x.gguf* 2>/dev/null)" ] || fail "a failed command wrote $(ls x.gguf*)"
  echo "$checks checks, $failures failures"
  [ $failures = 0 ]
}
