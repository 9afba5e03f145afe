#!/usr/bin/env bash
# The verbs from outside, on the data that ships: what they print, their exit codes, and that bad input
# gets one clear line and leaves nothing half-written.   tests/cli_test.sh path/to/tack
set -u
tack=$(realpath "${1:?usage: cli_test.sh path/to/tack}")
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

# --- help, version, completion
good 'build .*eval .*classify' sh -c "$tack --help | tr '\n' ' '"
good '^tack [0-9.]+$' "$tack" version
for shell in bash zsh fish; do good 'tack' "$tack" completion $shell; done
good 'complete' bash -c "source <($tack completion bash) && complete -p tack"
bad 2 'subcommand|required' "$tack"
bad 2 'help' "$tack" classify --nonsense
bad 2 "unknown ISA|TACK_ISA" env TACK_ISA=sse9 "$tack" version

# --- build, and what the model then says
good 'accuracy +8[0-9]\.|accuracy +9[0-4]\.' "$tack" build "$root/tasks/tickets.toml" -o t.gguf --html t.html
good '<svg.*Confusion matrix|Confusion' cat t.html
[ -z "$(ls | grep -v -e '^t.gguf$' -e '^t.html$')" ] || fail "build left something behind: $(ls)"
good '"accuracy": 0\.8|"accuracy": 0\.9' "$tack" eval t.gguf "$root/tasks/data/tickets/test.csv" --json
good 'account_change' "$tack" show t.gguf
good '"temperature"' "$tack" show t.gguf --json
good 'cls.output.weight' "$tack" show t.gguf --tensors
good 'stage 0' "$tack" show t.gguf --graph
good 'charged_twice' sh -c "echo 'I was charged twice' | $tack classify t.gguf"
good '"label":"charged_twice".*"top":\[' sh -c "echo 'I was charged twice' | $tack classify t.gguf --json"
good '^text,label,probability,out_of_scope$' "$tack" classify t.gguf "$root/tasks/data/tickets/test.csv" --output csv
[ "$("$tack" classify t.gguf "$root/tasks/data/tickets/test.csv" 2>/dev/null | wc -l)" = 920 ] || fail "classify: rows lost"
good '"tokens":258|"truncated":[1-9]' sh -c "yes word | head -400 | tr '\n' ' ' | $tack embed '$base' - --json"
good 'were cut' sh -c "yes word | head -400 | tr '\n' ' ' | $tack embed '$base' - 2>&1 >/dev/null"
good '"index":919' "$tack" embed "$base" "$root/tasks/data/tickets/test.csv" --json
good '101 7592 102' sh -c "echo hello | $tack tokenize '$base'"
good 'sequences_per_s' "$tack" bench t.gguf --tokens 8 --rounds 20 --json
good 'kernels' "$tack" doctor

# the same file, the same model
"$tack" build "$root/tasks/tickets.toml" -o again.gguf >/dev/null 2>&1
a=$(echo "my order is late" | "$tack" classify t.gguf --json) b=$(echo "my order is late" | "$tack" classify again.gguf --json)
[ "$a" = "$b" ] || fail "two builds differ: $a / $b"

# every level of kernels gives the same answer
for isa in scalar avx2 avx512; do
  TACK_ISA=$isa "$tack" version >/dev/null 2>&1 || continue
  c=$(echo "my order is late" | TACK_ISA=$isa "$tack" classify t.gguf | cut -f 1)
  [ "$c" = "$(echo "my order is late" | "$tack" classify t.gguf | cut -f 1)" ] || fail "$isa answers $c"
done

# --- training: a student of two layers, a teacher, and a process that is killed
awk 'NR == 1 || NR % 3 == 0' "$root/tasks/data/tickets/test.csv" >few.csv
cat >train.toml <<EOF
[data]
train = "few.csv"
label = "intent"
oos_label = "oos"
[train]
method = "full"
epochs = 2
rate = 2e-4
checkpoint_seconds = 0
[student]
layers = [0, 3]
EOF
answers() { "$tack" classify "$1" "$root/tasks/data/tickets/test.csv" --json | sha256sum; }
one_line() { "$@" 2>&1 | tr '\n' ' '; return "${PIPESTATUS[0]}"; }
good 'validation .*best .*frozen encoder.*trained .*wrote' one_line "$tack" build train.toml -o s.gguf --html s.html
good 'aria-label="Loss".*aria-label="Validation".*Side by side' one_line cat s.html
good '"parameters": 154[0-9]{5},' one_line "$tack" show s.gguf --json  # 2 of 6 layers
[ "$(ls | grep -c '^s\.')" = 2 ] || fail "training left something behind: $(ls)"
# Killed once a checkpoint is there, it goes on and ends with the same model.
"$tack" build train.toml -o k.gguf >/dev/null 2>&1 &
for _ in $(seq 600); do [ -f k.gguf.checkpoint ] && break; sleep 0.05; done
{ kill -9 $!; wait $!; } 2>/dev/null
[ -f k.gguf.checkpoint ] || fail "no checkpoint after kill -9"
bad 2 'set up otherwise: was .*"rate": 0.0002.*, is .*"rate": 0.0001' \
  "$tack" build train.toml -o k.gguf --set train.rate=1e-4
good 'continued from a checkpoint' "$tack" build train.toml -o k.gguf
checks=$((checks + 1))
[ "$(answers k.gguf)" = "$(answers s.gguf)" ] || fail "a killed training ended elsewhere"
[ "$(ls | grep -c '^k\.')" = 1 ] || fail "the killed training left: $(ls | grep '^k\.')"
sed '/student/,$d' train.toml >whole.toml
{ cat train.toml; printf '[teacher]\nmodel = "./s.gguf"\n'; } >taught.toml
good 'teacher: .*s.gguf answered .*teacher .*student ' one_line "$tack" build taught.toml -o g.gguf --set student.layers=1
good 'wrote' "$tack" build whole.toml -o l.gguf --set train.method=lora --set train.epochs=1 --set train.rate=1e-3
good 'charged_twice' sh -c "echo 'I was charged twice' | $tack classify l.lora.gguf"
good '^[1-9]' grep -ac lora_A l.lora/adapter_model.safetensors
mkdir other && cp l.lora.gguf other/ && cp s.gguf other/all-minilm-l6-v2.int8.gguf
bad 1 'was made for another all-minilm-l6-v2.int8 than' "$tack" show other/l.lora.gguf
bad 2 'is an adapter' "$tack" convert l.lora.gguf x.gguf
texts=few.csv
good 'mean cosine to the teacher' "$tack" distill --teacher "$base" --layers 1 --data "$texts" -o e1.gguf --epochs 1
good '^\[-?0\.' sh -c "echo hello | $tack embed e1.gguf"
good "the teacher's answer in" "$tack" distill --teacher s.gguf --layers 0 --layers 1 --data "$texts" -o t1.gguf --epochs 1
good 'charged_twice' sh -c "echo 'I was charged twice' | $tack classify t1.gguf"
bad 2 'say what the student is' "$tack" distill --teacher s.gguf --data "$texts" -o x.gguf
bad 2 'layers 3: .* has 2' "$tack" distill --teacher s.gguf --layers 3 --data "$texts" -o x.gguf
bad 2 "does not know the label" "$tack" build taught.toml -o g2.gguf --set data.oos_label=
bad 2 'there is no layer 9' "$tack" build train.toml -o x.gguf --set 'student.layers=[0, 9]'
bad 2 '\[student\] layers is 7, but .* has 6' "$tack" build train.toml -o x.gguf --set student.layers=7
bad 2 'need \[train\] method' "$tack" build train.toml -o x.gguf --set train.method=head
bad 2 'method must be one of "head", "lora", "full"' "$tack" build train.toml -o x.gguf --set train.method=magic
bad 2 'expected SECTION.KEY=VALUE' "$tack" build train.toml -o x.gguf --set rate

# --- taggers: a label and named spans together, taught and resumed
awk 'BEGIN {
  split("rome paris oslo lima cairo delhi quito sofia", city); split("monday friday today tonight", day)
  for (i = 0; i < 64; ++i) {
    c = city[i % 8 + 1]; d = day[int(i / 8) % 4 + 1]
    if (i % 2) printf "{\"tokens\":[\"fly\",\"to\",\"%s\",\"%s\"],\"tags\":[\"O\",\"O\",\"B-city\",\"B-day\"],\"intent\":\"fly\"}\n", c, d
    else printf "{\"tokens\":[\"weather\",\"in\",\"%s\",\"%s\"],\"tags\":[\"O\",\"O\",\"B-city\",\"B-day\"],\"intent\":\"weather\"}\n", c, d
  }
}' >tagged.jsonl
cat >tag.toml <<EOF
[task]
kind = "tag"
[data]
train = "tagged.jsonl"
label = "intent"
[train]
method = "full"
epochs = 4
batch = 8
rate = 5e-4
head_rate = 10
checkpoint_seconds = 0
[student]
layers = 2
[gate]
floor = 0.5
EOF
good '2 kinds of spans: city, day.*label accuracy .*span F1 .*gate passed.*wrote' one_line "$tack" build tag.toml -o tag.gguf --html tag.html
good 'all of a text right' one_line cat tag.html
good '\[rome\]\(city\)' sh -c "echo 'fly to rome friday' | $tack tag tag.gguf"
good '"start":7,"end":11,"label":"city","text":"rome"' sh -c "echo 'fly to rome friday' | $tack tag tag.gguf --json"
good 'span F1' "$tack" eval tag.gguf tagged.jsonl
good '"f1"' "$tack" eval tag.gguf tagged.jsonl --json
good 'fly' sh -c "echo 'fly to rome friday' | $tack classify tag.gguf"
for flags in '--batch 1' '--threads 1'; do
  checks=$((checks + 1))
  [ "$("$tack" tag tag.gguf few.csv $flags | sha256sum)" = "$("$tack" tag tag.gguf few.csv | sha256sum)" ] ||
    fail "tag $flags answers otherwise"
done
{ cat tag.toml; printf '[teacher]\nmodel = "./tag.gguf"\n'; } >tag3.toml
{ cat tag.toml; printf '[teacher]\nepochs = 3\nrate = 5e-4\nhead_rate = 10\n'; } >tag2.toml
good 'teacher: .*teacher .*student ' one_line "$tack" build tag2.toml -o tag2.gguf --set student.layers=1 --set gate.floor=0
good 'is there already' "$tack" build tag2.toml -o tag2.gguf --set student.layers=1 --set gate.floor=0
"$tack" build tag.toml -o tagk.gguf --set train.epochs=12 >/dev/null 2>&1 &
for _ in $(seq 600); do [ -f tagk.gguf.checkpoint ] && break; sleep 0.05; done
{ kill -9 $!; wait $!; } 2>/dev/null
good 'continued from a checkpoint' "$tack" build tag.toml -o tagk.gguf --set train.epochs=12
good 'wrote' "$tack" build tag.toml -o tagw.gguf --set train.epochs=12
checks=$((checks + 1))
tags() { "$tack" tag "$1" few.csv --json | sha256sum; }
[ "$(tags tagk.gguf)" = "$(tags tagw.gguf)" ] || fail "a killed training of a tagger ended elsewhere"
bad 2 'is no tagger' sh -c "echo x | $tack tag t.gguf"
bad 2 'needs \[train\] method' "$tack" build tag.toml -o x.gguf --set train.method=head
bad 2 'a teacher must have been built for the same' "$tack" build tag3.toml -o x.gguf --set data.label=
good 'span F1' "$tack" build tag.toml -o plain.gguf --set data.label= --set train.epochs=2 --set gate.floor=0
printf '{"text":"hi","spans":[{"start":0,"end":9,"label":"x"}]}\n' >beyond.jsonl
bad 1 'beyond.jsonl: line 1: .* 2 characters' "$tack" build tag.toml -o x.gguf --set data.train=beyond.jsonl --set data.label=

# --- conversion round trip
good 'MB, f32' "$tack" convert "$base" f.gguf --type f32
good 'MB, int8' "$tack" convert f.gguf i.gguf --type int8
bad 2 'choose f32' "$tack" convert "$base" x.gguf --type q1

# --- the gate
train=$root/tasks/data/tickets/train.csv
bad 5 'gate refused' "$tack" build --data "$train" --label intent --oos-label oos -o r.gguf --floor 0.999
[ ! -e r.gguf ] && [ ! -e r.gguf.candidate ] || fail "a refused model was left behind"
good 'gate passed' "$tack" build --data "$train" --test "$root/tasks/data/tickets/test.csv" --label intent --oos-label oos -o r.gguf --baseline t.gguf --margin -0.05

# --- bad data
printf 'text,label\nhello,a\nworld\n' > ragged.csv
bad 1 'ragged.csv: line 3: 1 fields, the header has 2' "$tack" build --data ragged.csv -o x.gguf
printf 'body,label\nhello,a\n' > column.csv
bad 2 "no column 'text'.*body, label" "$tack" build --data column.csv --text text --label label -o x.gguf
printf 'text,label\nhello,a\n\xff\xfe,b\n' > latin.csv
bad 1 'line 3.*not UTF-8.*iconv' "$tack" build --data latin.csv -o x.gguf
printf 'text,label\n"hello,a\nworld,b\n' > quote.csv
bad 1 'line 2: a quote is opened' "$tack" build --data quote.csv -o x.gguf
printf 'text,label\nhello,\n' > empty.csv
bad 1 "line 2: column 'label' is empty" "$tack" build --data empty.csv -o x.gguf
printf 'text,label\nhello,a\nworld,a\n' > single.csv
bad 1 "all rows have the label 'a'" "$tack" build --data single.csv -o x.gguf
printf 'text,label\nhello,a\nworld,a\nonce,b\n' > once.csv
bad 1 "label 'b' is there only once" "$tack" build --data once.csv -o x.gguf
: > nothing.csv
bad 1 'the file is empty' "$tack" build --data nothing.csv -o x.gguf
bad 3 'No such file' "$tack" build --data absent.csv --text t --label l -o x.gguf
printf '{"text": "a"\n' > broken.jsonl
bad 1 'broken.jsonl: line 1' "$tack" build --data broken.jsonl --text text --label label -o x.gguf
bad 2 "label 'unknown' is not one of" sh -c "printf 'text,intent\nhi,unknown\n' > u.csv; exec $tack eval t.gguf u.csv"
bad 2 'line 2: unknown key .trian' sh -c "printf '[data]\ntrian = \"x.csv\"\n' > bad.toml; exec $tack build bad.toml"
bad 2 'line 1, column' sh -c "printf '[data\n' > bad.toml; exec $tack build bad.toml"
bad 2 'NOT_SET_HERE' sh -c "printf '[data]\ntrain = \"\${NOT_SET_HERE}/x.csv\"\n' > bad.toml; exec $tack build bad.toml"

# --- bad models
bad 3 'no model' "$tack" show no-such-model
head -c 1000000 t.gguf > cut.gguf
bad 1 'cut.gguf' "$tack" show cut.gguf
head -c 20 t.gguf > cut.gguf
bad 1 'cut.gguf' "$tack" show cut.gguf
printf 'GGUF\003\000\000\000\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\177' > hostile.gguf
bad 1 'hostile.gguf' "$tack" classify hostile.gguf
bad 1 'not a GGUF|magic' "$tack" show "$train"
bad 2 'without labels' "$tack" classify "$base" "$train"
mkdir broken && echo '{' > broken/config.json
bad 1 'config.json' "$tack" convert broken x.gguf
bad 4 'in use|already' bash -c "
  $tack serve t.gguf --port 0 2>log & s=\$!
  for i in \$(seq 100); do p=\$(sed -n 's/^listening on .*:\([0-9]*\) .*/\1/p' log); [ -n \"\$p\" ] && break; sleep 0.05; done
  $tack serve t.gguf --port \$p; code=\$?; kill \$s; wait \$s 2>/dev/null; exit \$code"

# --- a full disk and a killed process lose nothing
cp t.gguf keep.gguf
if mkdir -p small && mount -t tmpfs -o size=1m tmpfs small 2>/dev/null; then
  bad 1 'No space left' "$tack" convert "$base" small/x.gguf
  [ -z "$(ls small)" ] || fail "a full disk left $(ls small)"
  bad 1 'No space left' "$tack" build --data "$train" --label intent --oos-label oos -o small/x.gguf
  bad 1 'writing the checkpoint.*No space left' "$tack" build whole.toml -o small/x.gguf
  [ -z "$(ls small)" ] || fail "a full disk left $(ls small)"
  umount small
fi
bad 1 'No space left|standard output' sh -c "$tack classify t.gguf '$train' >/dev/full"
"$tack" build --data "$train" --label intent --oos-label oos -o t.gguf >/dev/null 2>&1 & pid=$!
sleep 0.7
kill -9 $pid; wait $pid 2>/dev/null
cmp -s t.gguf keep.gguf || "$tack" show t.gguf >/dev/null || fail "kill -9 broke the model that was there"
"$tack" build --data "$train" --label intent --oos-label oos -o i.gguf >/dev/null 2>&1 & pid=$!
sleep 0.5
kill -TERM $pid; wait $pid; code=$?
[ $code = 130 ] || [ $code = 0 ] || fail "SIGTERM: exit code $code"

[ -z "$(ls x.gguf* 2>/dev/null)" ] || fail "a failed command wrote $(ls x.gguf*)"
echo "$checks checks, $failures failures"
[ $failures = 0 ]
