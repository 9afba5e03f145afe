#!/usr/bin/env bash
# The verbs from outside, on the data that ships: what they print, their exit codes, bad input.
#   tests/cli_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

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

# --- conversion round trip
good 'MB, f32' "$tack" convert "$base" f.gguf --type f32
good 'MB, int8' "$tack" convert f.gguf i.gguf --type int8
bad 2 'choose one of f32' "$tack" convert "$base" x.gguf --type q1

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
if small_disk; then
  bad 1 'No space left' "$tack" convert "$base" small/x.gguf
  [ -z "$(ls small)" ] || fail "a full disk left $(ls small)"
  bad 1 'No space left' "$tack" build --data "$train" --label intent --oos-label oos -o small/x.gguf
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

finish
