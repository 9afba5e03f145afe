#!/usr/bin/env bash
# Students from outside: narrower ones, what is learned inside a teacher, several teachers, changed
# texts, and a process that is killed with all of it on.   tests/distill_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"
answers() { "$tack" classify "$1" few.csv --json | sha256sum; }

awk 'NR == 1 || NR % 4 == 0' "$root/tasks/data/tickets/test.csv" >few.csv
cat >task.toml <<END
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
width = 192
ffn = 512
[teacher]
epochs = 1
rate = 2e-4
count = 2
variants = 1
hidden = 1.0
layers = [2, 5]
relations = 1.0
END
good 'm.teacher.gguf, m.teacher2.gguf answered .*layers 0, 3 of 6, 192 of 384 wide, 6 of 12 heads, 512 of 1536 in between.*hidden states of layers 2, 5 .*relations in 12 heads.*first teacher .*student .*wrote' \
  one_line "$tack" build task.toml -o m.gguf
for wanted in '"hidden_loss": "mse"' '"others": ?\[' '"width": 192' '"count": 2'; do
  good "$wanted" "$tack" show m.gguf --json
done
good 'charged_twice' sh -c "echo 'I was charged twice' | $tack classify m.gguf"
good '^\[-?0\.' sh -c "echo hello | $tack embed m.gguf"
good 'MB, int8' "$tack" convert m.gguf again.gguf --type int8
# Killed once a checkpoint is there, it goes on and ends with the same model.
{ sed '/^\[teacher\]/,$d' task.toml
  printf '[teacher]\nmodels = ["./m.teacher.gguf", "./m.teacher2.gguf"]\nvariants = 1\nhidden = 1.0\n'
  printf 'layers = [2, 5]\nrelations = 1.0\n'; } >named.toml
good 'wrote' "$tack" build named.toml -o s.gguf
killed_at_checkpoint k.gguf.checkpoint "$tack" build named.toml -o k.gguf
for change in teacher.hidden=2 teacher.relation_heads=6 teacher.variants=0 student.ffn=544 'teacher.layers=[1, 5]'; do
  bad 2 'set up otherwise' "$tack" build named.toml -o k.gguf --set "$change"
done
good 'continued from a checkpoint' "$tack" build named.toml -o k.gguf
same 'a killed training' "$(answers k.gguf)" "$(answers s.gguf)"

# tack distill
good 'correlation with the teacher.s cosines.*wrote' \
  one_line "$tack" distill --teacher "$base" --width 192 --layers 2 --hidden 1 --relations 1 --data few.csv -o e.gguf --epochs 1
good '^\[-?0\.' sh -c "echo hello | $tack embed e.gguf"
size=$(du --apparent-size -B 100000 e.gguf | cut -f 1)
good "would be about $((size / 10)).$((size % 10)) MB|would be about $(((size - 1) / 10)).$(((size - 1) % 10)) MB" \
  "$tack" distill --teacher "$base" --width 192 --layers 2 --data few.csv -o dry.gguf --dry-run
good "the teacher.s answer in" \
  "$tack" distill --teacher m.gguf --width 96 --relations 1 --relation-heads 6 --data few.csv -o t.gguf --epochs 1
good '^[a-z_]+.*I was charged twice$' sh -c "echo 'I was charged twice' | $tack classify t.gguf"
good 'mean cosine' "$tack" distill --teacher "$base" --layers 1 --hidden 1 --hidden-layers 5 --data few.csv -o h.gguf --epochs 1
bad 2 'choose a multiple of 32' "$tack" distill --teacher "$base" --width 100 --data few.csv -o x.gguf
bad 2 'do not divide' "$tack" distill --teacher "$base" --layers 2 --relations 1 --relation-heads 5 --data few.csv -o x.gguf
bad 2 'for a student of 2: name one for each' "$tack" distill --teacher "$base" --layers 2 --hidden 1 --hidden-layers 5 --data few.csv -o x.gguf
bad 2 'are for kind = "classify"' "$tack" build task.toml -o x.gguf --set task.kind=tag

[ -z "$(ls | grep -E 'dry|sized|student|encoder|candidate|checkpoint|narrow')" ] || fail "left behind: $(ls)"
finish
