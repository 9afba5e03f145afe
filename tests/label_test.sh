#!/usr/bin/env bash
# `tack label` from outside, against an endpoint that refuses, stalls and talks nonsense; it counts the
# calls (mock_chat.py).   tests/label_test.sh path/to/tack
set -u
tack=$(realpath "${1:?usage: label_test.sh path/to/tack}")
root=$(cd "$(dirname "$0")/.." && pwd)
export TACK_HOME=$root
dir=$(mktemp -d)
cd "$dir" || exit 1
python3 "$root/tests/mock_chat.py" "$dir/calls" >port 2>mock.log & mock=$!
trap 'kill $mock 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do [ -s port ] && break; sleep 0.05; done
url=http://127.0.0.1:$(cat port)
failures=0 checks=0

fail() { echo "FAIL: $*"; failures=$((failures + 1)); }
# label CODE PATTERN ARGUMENTS...: exit code, and what is printed (as one line) matches. It asks $url.
label() {
  local wanted=$1 pattern=$2 out code
  shift 2
  checks=$((checks + 1))
  out=$("$tack" label --upstream "$url" --labels red,green,blue "$@" 2>&1 </dev/null | tr '\n' ' '; exit "${PIPESTATUS[0]}"); code=$?
  [ "$code" = "$wanted" ] || fail "label $*: exit code $code, wanted $wanted: ${out:0:400}"
  printf '%s' "$out" | grep -qE -- "$pattern" || fail "label $*: wanted /$pattern/, got: ${out:0:400}"
}
# is WHAT WANTED GOT
is() { checks=$((checks + 1)); [ "$3" = "$2" ] || fail "$1: wanted $2, got ${3:0:300}"; }
calls() { grep -c -- "$1" calls 2>/dev/null; }
# labels FILE: "text=label" lines
labels() { python3 -c '
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line); print(row["text"], row["label"], sep="=")' "$1"; }
# until_lines FILE LINES: waits for a file to have so many lines
until_lines() { for _ in $(seq 400); do [ -f "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ] && return; sleep 0.05; done; fail "$1 never had $2 lines"; }
try=(--retries 2 --timeout 2)

# --- answers of every kind, in the order of the rows; equal texts are asked once
cat >kinds.txt <<'EOF'
plain red
busy green
broken blue
empty red
slow green
shouts blue
corrects red
plain red
outside green
unpriced blue

{{labels}} are not read in a text green
EOF
: >calls
label 0 'labelled 10 of 12 rows \(10 different texts, 0 known.* [345] calls did not say .*2 rows have no label' \
  --data kinds.txt -o kinds.jsonl "${try[@]}"
is order "plain red=red busy green=green broken blue=blue empty red=red slow green=green shouts blue=blue corrects red=red plain red=red unpriced blue=blue {{labels}} are not read in a text green=green " "$(labels kinds.jsonl | tr '\n' ' ')"
is rejected "outside green=None =None " "$(labels kinds.rejected.jsonl | tr '\n' ' ')"
is why 1 "$(grep -c "the answer 'Perhaps green?' is not one of the labels" kinds.rejected.jsonl)"
is 'a text twice' 1 "$(calls 'plain red')"
is '429, then an answer' 2 "$(calls 'busy green')"
is 'no JSON, then an answer' 2 "$(calls 'broken blue')"
is 'no choices, then an answer' 2 "$(calls 'empty red')"
is 'outside the set' 2 "$(calls 'outside green')"
is corrected 2 "$(calls 'corrects red')"
is 'tokens of two calls' 1 "$(grep 'corrects red' kinds.jsonl | grep -c '"prompt_tokens":200,"completion_tokens":20')"
: >calls
label 0 'labelled 10 of 12 rows \(10 different texts, 10 known' --data kinds.txt -o kinds.jsonl "${try[@]}"
is 'calls of a second run' 0 "$(wc -l <calls)"

# --- rows that get no answer are marked, and asked again by the next run
printf 'text,n\nfine red,1\nfails green,2\nodd blue,3\nhangs red,4\nlong green,5\n' >bad.csv
: >calls
label 0 'labelled 1 of 5 rows.*4 rows have no label, and why: bad.rejected.jsonl' --data bad.csv -o bad.jsonl "${try[@]}"
is '500 is tried again' 3 "$(calls 'fails green')"
is '400 is not' 1 "$(calls 'long green')"
for why in '500 Internal Server Error: out of order' 'not a chat completion: no' 'took too long' 'too many tokens'; do
  is "$why" 1 "$(grep -c "$why" bad.rejected.jsonl)"
done
: >calls
label 0 'labelled 1 of 5' --data bad.csv -o bad.jsonl --retries 0 --timeout 2
is 'an answer is not asked for again' 0 "$(calls 'fine red')"
is 'a failure is' 1 "$(calls 'fails green')"

# --- killed at any moment, it goes on; a torn last line is no harm
for i in $(seq 40); do echo "wait $i red"; done >many.txt
: >calls
"$tack" label --upstream "$url" --labels red,green --data many.txt -o many.jsonl >/dev/null 2>&1 & pid=$!
until_lines many.answers.jsonl 8
{ kill -9 $pid; wait $pid; } 2>/dev/null
sleep 1  # what was under way reaches the mock's file
known=$(wc -l <many.answers.jsonl)
[ "$known" -ge 8 ] && [ "$known" -lt 40 ] || fail "killed with $known answers known"
first=$(calls wait)
[ $((first - known)) -le 4 ] || fail "kill -9 lost $((first - known)) answers of 4 under way"
printf '{"key":"0123' >>many.answers.jsonl
"$tack" label --upstream "$url" --labels red,green --data many.txt -o many.jsonl --concurrency 8 >/dev/null 2>interrupted & pid=$!
until_lines many.answers.jsonl $((known + 1))
label 1 'another .tack label. is writing' --data many.txt -o other.jsonl --cache many.answers.jsonl
kill -INT $pid; wait $pid; is 'interrupted: exit code' 130 $?
is 'interrupted: says' 1 "$(grep -c 'tack: interrupted; run the same command again to go on' interrupted)"
is 'interrupted: rows are the answers' "$(wc -l <many.answers.jsonl)" "$(wc -l <many.jsonl)"
checks=$((checks + 1))
out=$("$tack" label --upstream "$url" --labels red,green --data many.txt -o many.jsonl --json) || fail "resume: exit code $?"
printf '%s' "$out" | grep -q '"labelled": 40' || fail "resume: $out"
is 'calls over three runs' $((40 + first - known)) "$(calls wait)"
is 'rows of three runs' 40 "$(labels many.jsonl | grep -c '=red')"
label 0 '0 known' --data many.txt -o other.jsonl --max-tokens 9 --model other --concurrency 40  # another question

# --- limits: 110 tokens a call; 0.4 cents at 1 USD per million in, 30 out
for i in $(seq 30); do echo "$i blue"; done >cost.txt
price=(--price-in 1 --price-out 30 --max-tokens 10)
: >calls
label 5 'labelled [0-9] of 30 rows.*spent and the next call could cost.*--max-cost 0.004; raise it and run the same' \
  --data cost.txt -o cost.jsonl "${price[@]}" --max-cost 0.004
spent=$(wc -l <calls)
[ "$spent" -ge 5 ] && [ "$spent" -le 10 ] || fail "$spent calls of 0.0004 USD within 0.004"
is 'what was paid for is kept' "$spent" "$(wc -l <cost.jsonl)"
label 5 'max-cost' --data cost.txt -o cost.jsonl "${price[@]}" --max-cost 0.004
is 'the limit holds over runs' "$spent" "$(wc -l <calls)"
label 5 'labelled 20 of 30.*--max-calls 20 is reached; raise it' --data cost.txt -o cost.jsonl --max-calls 20
label 0 'labelled 30 of 30 rows .*, 20 known.*in all 30 calls, 3000 tokens in, 300 out, \$0.0120' \
  --data cost.txt -o cost.jsonl "${price[@]}" --max-cost 1
is 'each asked once' 30 "$(wc -l <calls)"

# --- an endpoint that refuses or is not there
echo 'key red' >key.txt
label 4 'tack: .*403 Forbidden: wrong key ; it wants a key: --key-env' --data key.txt -o key.jsonl
export WRONG=open-sesame RIGHT=secret
label 4 'tack: .*403 Forbidden: wrong key \*\*\*; check the key' --data key.txt -o key.jsonl --key-env WRONG
label 0 'labelled 1 of 1' --data key.txt -o key.jsonl --key-env RIGHT
grep -rlE 'open-sesame|Bearer' key.* && fail "a key was written"
url=$url/api label 3 'tack: .*404 Not Found: no such path; check --upstream' --data key.txt -o x.jsonl
echo 'throttled red' >throttled.txt
label 4 'no call for 2.0 hours' --data throttled.txt -o x.jsonl
url=http://127.0.0.1:1/v1 label 4 'no text got an answer; the last: cannot connect to 127.0.0.1 port 1: Connection refused' \
  --data key.txt -o x.jsonl --retries 1
sed 's/blue/fails blue/' cost.txt >fails.txt
label 4 '20 texts in a row got no answer; the last: .*500 .*go on' --data fails.txt -o fails.jsonl --retries 0
checks=$((checks + 1))
[ ! -e fails.jsonl ] && [ -s fails.rejected.jsonl ] || fail "no labels, but: $(ls fails.*)"
rm -f x.*

# --- what it learns from the rows, and whose labels
for colour in red green blue; do for i in $(seq 12); do echo "thing $i that is as $colour as $colour"; done; done >things.txt
label 0 'labelled 36 of 36' --data things.txt -o things.jsonl --concurrency 16
checks=$((checks + 1))
"$tack" build --data things.jsonl --text text --label label -o things.gguf >build.log 2>&1 || fail "build: $(tail -n 1 build.log)"
echo 'is it blue' | "$tack" classify things.gguf | grep -q '^blue' || fail "the model built from labels does not know blue"
label 2 '--labels.*--task|exactly|1 option|at most' --data things.txt -o t2.jsonl --labels-of things.gguf
again() { "$tack" label --upstream "$url" --data things.txt -o t2.jsonl "$@" 2>&1; }
again --labels-of things.gguf | grep -q '36 of 36' || fail "--labels-of"
printf '[data]\ntrain = "things.jsonl"\n' >things.toml
again --task things.toml | grep -q '36 known' || fail "--task: the same labels are another question"

printf '[task]\nkind = "tag"\n[data]\ntrain = "t.jsonl"\n[train]\nmethod = "full"\n' >tag.toml
again --task tag.toml | grep -q 'only labels of texts can be asked for' || fail "--task of a tagger"
again --labels-of all-minilm-l6-v2 | grep -q 'has no labels of texts' || fail "--labels-of an encoder"

# --- what is wrong is said before any call
: >calls
label 2 'no such environment variable' --data things.txt -o x.jsonl --key-env NOT_SET_HERE
label 2 'must end in .jsonl' --data things.txt -o x.csv
label 3 'no directory nowhere' --data things.txt -o nowhere/x.jsonl
label 2 'is --data itself' --data things.jsonl -o things.jsonl
label 2 'things.jsonl: line 1 is not an answer that' --data things.txt -o x.jsonl --cache things.jsonl
label 3 'absent.txt' --data absent.txt -o x.jsonl
label 2 "no column 'body'.*text, n" --data bad.csv --text body -o x.jsonl
url=localhost:8000 label 2 'must start with http' --data things.txt -o x.jsonl
label 2 'requires --price-in' --data things.txt -o x.jsonl --max-cost 1
label 2 "'Red' differs from 'red' in case only" --data things.txt -o x.jsonl --labels Red
echo 'Label {{txt}}' >wrong.txt
label 2 'wrong.txt: unknown .*txt' --data things.txt -o x.jsonl --prompt wrong.txt
is 'calls for nothing' 0 "$(wc -l <calls)"
[ -z "$(ls x.jsonl x.rejected.jsonl 2>/dev/null)" ] || fail "a failed command wrote $(ls x.*)"

[ -s mock.log ] && fail "the mock: $(cat mock.log)"
echo "$checks checks, $failures failures"
[ $failures = 0 ]
