#!/usr/bin/env bash
# Taggers from outside: a label and named spans together, taught and resumed.
#   tests/tag_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"
awk 'NR == 1 || NR % 3 == 0' "$root/tasks/data/tickets/test.csv" >few.csv

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
  same "tag $flags answers otherwise" "$("$tack" tag tag.gguf few.csv $flags | sha256sum)" \
    "$("$tack" tag tag.gguf few.csv | sha256sum)"
done
{ cat tag.toml; printf '[teacher]\nmodel = "./tag.gguf"\n'; } >tag3.toml
{ cat tag.toml; printf '[teacher]\nepochs = 3\nrate = 5e-4\nhead_rate = 10\n'; } >tag2.toml
good 'teacher: .*teacher .*student ' one_line "$tack" build tag2.toml -o tag2.gguf --set student.layers=1 --set gate.floor=0
good 'span F1 .*side by side.*teacher .*student ' one_line "$tack" show tag2.gguf
# A teacher is known again by its rows, wherever they stand.
mkdir moved && cp tagged.jsonl moved && tail -n +2 tagged.jsonl >fewer.jsonl
again() { "$tack" build tag2.toml -o tag2.gguf --set student.layers=1 --set gate.floor=0 "$@"; }
good 'is there already' again --set data.train=moved/tagged.jsonl
bad 2 'trained otherwise than the task says' again --set data.train=fewer.jsonl
killed_at_checkpoint tagk.gguf.checkpoint "$tack" build tag.toml -o tagk.gguf --set train.epochs=12
good 'continued from a checkpoint' "$tack" build tag.toml -o tagk.gguf --set train.epochs=12
good 'wrote' "$tack" build tag.toml -o tagw.gguf --set train.epochs=12
tags() { "$tack" tag "$1" few.csv --json | sha256sum; }
same "a killed training of a tagger ended elsewhere" "$(tags tagk.gguf)" "$(tags tagw.gguf)"
bad 2 'is no tagger' sh -c "echo x | $tack tag $base"
bad 2 'needs \[train\] method' "$tack" build tag.toml -o x.gguf --set train.method=head
bad 2 'a teacher must have been built for the same' "$tack" build tag3.toml -o x.gguf --set data.label=
good 'span F1' "$tack" build tag.toml -o plain.gguf --set data.label= --set train.epochs=2 --set gate.floor=0
printf '{"text":"hi","spans":[{"start":0,"end":9,"label":"x"}]}\n' >beyond.jsonl
bad 1 'beyond.jsonl: line 1: .* 2 characters' "$tack" build tag.toml -o x.gguf --set data.train=beyond.jsonl --set data.label=
good 'wrote' "$tack" build tag.toml -o whole.gguf --set model.type=f16
good 'texts right as a whole.*2 layers, q4_0.*gate passed.*against the original passed.*wrote small.gguf' \
  one_line "$tack" compress whole.gguf --task tag.toml --layers 2 --types q4_0 --budget 20MB --margin 60 -o small.gguf
good '\[rome\]\(city\)' sh -c "echo 'fly to rome friday' | $tack tag small.gguf"
finish
