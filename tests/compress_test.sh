#!/usr/bin/env bash
# `tack compress` from outside: limits, the gate, and a search that is killed.
#   tests/compress_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

awk 'NR == 1 || NR % 3 == 0' "$root/tasks/data/tickets/test.csv" >few.csv
awk 'NR == 1 || NR % 3 == 1' "$root/tasks/data/tickets/test.csv" >test.csv
cat >task.toml <<END
[data]
train = "few.csv"
test = "test.csv"
label = "intent"
oos_label = "oos"
[model]
type = "f16"
[train]
method = "full"
epochs = 2
rate = 3e-4
checkpoint_seconds = 0
[student]
layers = [0, 3]
[gate]
margin = -0.3
END
# Few tokens, so that all of it is quick.
good wrote "$tack" build task.toml -o whole.gguf
good tokens "$tack" prune whole.gguf --keep-tokens-of few.csv --vocabulary 4000 -o m.gguf
columns=(--data few.csv --test test.csv --label intent --oos-label oos --epochs 1 --rate 3e-4 --margin 60)
bytes() { stat -c %s "$1"; }

# Without a student: types and vocabulary.
good 'predicted sizes.*2 layers, q4_0, [0-9]+ tokens' one_line "$tack" compress m.gguf --task task.toml --layers 2 --types q4_0 --dry-run -o d.gguf
good 'O: the original.*chosen.*before .*after .*gate passed.*wrote s.gguf .*smaller' \
  one_line "$tack" compress m.gguf "${columns[@]}" --budget 4MB --layers 2 --types int8,q4_0 -o s.gguf --html s.html
[ "$(bytes s.gguf)" -le 4000000 ] || fail "over the budget: $(bytes s.gguf) bytes"
good 'svg.*Candidates' one_line cat s.html
good charged_twice sh -c "echo 'I was charged twice' | $tack classify s.gguf"
good '"compressed": ?\{' "$tack" show s.gguf --json
good 'before .*after ' one_line "$tack" show s.gguf
[ -z "$(ls -d s.gguf.search 2>/dev/null)" ] || fail "the search left its directory"

# With one, and narrower; killed in its training, it goes on and ends with the same file.
shape=(--layers 1 --ffn 512 --types q4_0)
good 'chosen: 1 layer, ffn 512, q4_0' one_line "$tack" compress m.gguf "${columns[@]}" --budget 2.5MB "${shape[@]}" -o one.gguf
killed_at_checkpoint k.gguf.search/1.gguf.checkpoint \
  "$tack" compress m.gguf "${columns[@]}" --budget 2.5MB "${shape[@]}" -o k.gguf
good 'going on with.*continued from a checkpoint.*wrote' one_line "$tack" compress m.gguf "${columns[@]}" --budget 2.5MB "${shape[@]}" -o k.gguf
answers() { "$tack" classify "$1" test.csv --json | sha256sum; }
same 'a killed search' "$(answers k.gguf)" "$(answers one.gguf)"

# What cannot be.
bad 2 'no candidate has at most 0.10 MB: the smallest, 1 layer, ffn 768, q4_0, [0-9]+ tokens, has about' \
  "$tack" compress m.gguf "${columns[@]}" --budget 100kB --layers 2,1 --types q4_0 -o x.gguf
bad 2 'in blocks already' "$tack" compress s.gguf "${columns[@]}" --budget 2MB -o x.gguf
bad 2 '9 layers: m has 2' "$tack" compress m.gguf "${columns[@]}" --layers 9 -o x.gguf
bad 2 '--ffn 100: m has 1536; choose multiples of 32' "$tack" compress m.gguf "${columns[@]}" --ffn 100 -o x.gguf
bad 2 'needs labelled rows' "$tack" compress m.gguf --budget 2MB -o x.gguf
sed "s/,charged_twice/,charged_thrice/" few.csv >other.csv
bad 2 "labels are not those of the rows" "$tack" compress m.gguf --data other.csv --label intent --oos-label oos -o x.gguf
bad 2 "'soon' is no time" "$tack" compress m.gguf "${columns[@]}" --latency soon -o x.gguf
bad 2 'is no task model' "$tack" compress "$base" --requantize "${columns[@]}" -o x.gguf
bad 2 "'little' is no size" "$tack" compress m.gguf "${columns[@]}" --budget little -o x.gguf
bad 2 'unknown type' "$tack" compress m.gguf "${columns[@]}" --types int8,q9 -o x.gguf
bad 5 'the gate refused 2 layers, q4_0.*nothing was written' \
  "$tack" compress m.gguf --data few.csv --test test.csv --label intent --oos-label oos --margin 0 --budget 4MB --layers 2 --types q4_0 -o x.gguf
rm -rf x.gguf.search
finish
