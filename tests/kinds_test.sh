#!/usr/bin/env bash
# Any number of labels a text, and encoders from texts that belong together, from outside.
#   tests/kinds_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"
awk 'NR == 1 || NR % 3 == 0' "$root/tasks/data/tickets/test.csv" >few.csv
"$tack" build --data few.csv --label intent --oos-label oos -o t.gguf >/dev/null 2>&1

# --- any number of labels a text, none included
awk 'BEGIN {
  split("the card is lost;it was stolen at the station;please send a new one;thanks a lot", said, ";")
  split("loss;theft;replace;", label, ";")
  for (i = 0; i < 160; ++i) {
    text = ""; labels = ""
    for (k = 1; k <= 4; ++k) if (int(i / 2 ^ (k - 1)) % 2) {
      text = text said[k] ", "
      if (label[k] != "") labels = labels (labels == "" ? "" : ",") "\"" label[k] "\""
    }
    printf "{\"text\":\"%scase %d\",\"labels\":[%s]}\n", text, i, labels
  }
}' >sets.jsonl
cat >sets.toml <<EOF
[task]
kind = "multilabel"
[data]
train = "sets.jsonl"
[gate]
floor = 0.5
EOF
good '3 labels.*a label counts from .*micro F1 .*all of a text .*gate passed.*wrote' one_line "$tack" build sets.toml -o sets.gguf --html sets.html
good 'ranking precision' one_line cat sets.html
good '^(loss [01]\.[0-9]+, replace|replace [01]\.[0-9]+, loss)' sh -c "echo 'the card is lost, please send a new one' | $tack classify sets.gguf"
good '^-	thanks a lot' sh -c "echo 'thanks a lot' | $tack classify sets.gguf"
good '"labels":\[\{"label":"theft".*"top":\[' sh -c "echo 'it was stolen at the station' | $tack classify sets.gguf --json"
good '^text,labels,probabilities$' "$tack" classify sets.gguf sets.jsonl --output csv
good 'micro F1 +9|micro F1 +100' "$tack" eval sets.gguf sets.jsonl
good '"ranking"' "$tack" eval sets.gguf sets.jsonl --json
good 'measured +micro F1' "$tack" show sets.gguf
printf 'text,labels\n"the card is lost, it was stolen",loss/theft\nhello,\n' >sets.csv
good 'micro F1' "$tack" eval sets.gguf sets.csv --separator /
bad 2 "line 2: label 'loss/theft' is not one of the model's 3 labels" "$tack" eval sets.gguf sets.csv
printf '{"text":"a","labels":[1]}\n' >numbers.jsonl
bad 1 'numbers.jsonl: line 1: .*no list of labels' "$tack" eval sets.gguf numbers.jsonl
{ sed '/gate/,$d' sets.toml; printf '[train]\nmethod = "full"\nepochs = 1\nrate = 2e-4\nhead_rate = 10\n[student]\nlayers = 2\n'; } >sets2.toml
good 'frozen encoder.*trained .*wrote' one_line "$tack" build sets2.toml -o sets2.gguf
{ cat sets2.toml; printf '[teacher]\nmodel = "./sets2.gguf"\n'; } >sets3.toml
good 'teacher: .*teacher .*student ' one_line "$tack" build sets3.toml -o sets3.gguf --set student.layers=1
good '"label":"theft"' sh -c "echo 'it was stolen' | $tack classify sets3.gguf --json"
sed '/student/,$d' sets2.toml >setsl.toml
good 'wrote' "$tack" build setsl.toml -o setsl.gguf --set train.method=lora
good '"label":"theft"' sh -c "echo 'it was stolen' | $tack classify setsl.lora.gguf --json"
good "the teacher's answer in" "$tack" distill --teacher sets2.gguf --layers 1 --data few.csv -o setsd.gguf --epochs 1
good '"labels":' sh -c "echo 'it was stolen' | $tack classify setsd.gguf --json"
sed '/gate/,$d' sets.toml >sets4.toml
bad 2 'the baseline gives one label a text' "$tack" build sets4.toml -o x.gguf --set gate.baseline=./t.gguf
bad 2 "unknown key 'oos_label'" "$tack" build sets.toml -o x.gguf --set data.oos_label=none
bad 2 'models, count and variants are for kind = "classify"' "$tack" build sets3.toml -o x.gguf --set teacher.variants=1
bad 2 'hidden and relations are for kind = "tag"' "$tack" build sets3.toml -o x.gguf --set teacher.hidden=1
good '192 of 384 wide.*wrote' one_line "$tack" build sets2.toml -o setsn.gguf --set student.width=192
printf '[data]\ntrain = "few.csv"\nlabel = "intent"\noos_label = "oos"\n[train]\nmethod = "full"\n[teacher]\nmodel = "./sets2.gguf"\n' >other.toml
bad 2 'the teacher gives any number of labels a text' "$tack" build other.toml -o x.gguf

# --- encoders from texts that belong together: those with the same second word, which says little to
# the base (MRR 44 %) and is learned in a few steps
awk 'BEGIN {
  n = split("river engine poem bread window planet horse violin lawyer carpet candle tunnel", what, " ")
  m = split("monday seven maybe quiet london", mark, " ")
  print "text,intent"
  for (i = 0; i < n; ++i) for (j = 1; j <= m; ++j) for (k = 1; k < 3; ++k)
    printf "%s %s %s %s,%s\n", what[i + 1], mark[j], what[(i + k) % n + 1], what[(i + 3 * k) % n + 1], mark[j]
}' >marks.csv
cat >embed.toml <<EOF
[task]
kind = "embed"
[data]
train = "marks.csv"
pairs = "label"
label = "intent"
oos_label = "oos"
[train]
method = "full"
epochs = 3
batch = 16
rate = 1e-3
checkpoint_seconds = 0
[student]
layers = 1
[gate]
floor = 0.9
EOF
good 'labelled texts.*recall at 1 .*MRR .*frozen encoder .*trained .*gate passed: MRR .*wrote' one_line "$tack" build embed.toml -o embed.gguf --html embed.html
good 'recall at 10.*aria-label="Loss"' one_line cat embed.html
good '^\[-?0\.' sh -c "echo hello | $tack embed embed.gguf"
good 'measured +recall at 1' "$tack" show embed.gguf
good 'MRR' "$tack" eval embed.gguf "$root/tasks/data/tickets/test.csv"
good '"mrr"' "$tack" eval "$base" few.csv --pairs-by-label --label intent --oos-label oos --json
bad 2 'say what it is measured on' "$tack" eval "$base" few.csv
bad 5 'gate refused' after_training "$tack" build embed.toml -o x.gguf --set train.rate=1e-8 --set train.epochs=1
killed_at_checkpoint embedk.gguf.checkpoint "$tack" build embed.toml -o embedk.gguf
good 'continued from a checkpoint' "$tack" build embed.toml -o embedk.gguf --threads 1
vectors() { "$tack" embed "$1" few.csv | sha256sum; }
same 'a killed training of an encoder' "$(vectors embedk.gguf)" "$(vectors embed.gguf)"
# Made smaller: what its texts need, in fewer bits, half as wide and taught again.
good 'wrote' "$tack" build embed.toml -o wide.gguf --set model.type=f16
good 'chosen: 1 layer, ffn 768, q4_0, .*gate passed: MRR .*against the original passed: MRR .*wrote narrow.gguf' \
  one_line "$tack" compress wide.gguf --task embed.toml --layers 1 --ffn 768 --types q4_0 --budget 2.5MB --margin 60 -o narrow.gguf
good '^\[-?0\.' sh -c "echo hello | $tack embed narrow.gguf"
good 'MRR .*before .*after ' one_line "$tack" show narrow.gguf
bad 2 'is no task model: a task file of kind embed' "$tack" compress wide.gguf --data marks.csv --budget 3MB -o x.gguf
awk 'BEGIN { print "text,positive,wrong,score"; for (i = 0; i < 60; ++i) printf "question %d about item %d,answer to question %d,item %d is blue,%d\n", i, i, i, i, i % 6 }' >pairs.csv
printf '[task]\nkind = "embed"\n[data]\ntrain = "pairs.csv"\n[train]\nmethod = "full"\nepochs = 1\nbatch = 16\n' >pairs.toml
printf '[student]\nlayers = 1\n' | cat pairs.toml - >small.toml
good 'pairs to learn from.*12 queries, each among the second texts.*wrote' one_line "$tack" build small.toml -o pairs.gguf --set data.negative=wrong
good 'Spearman .*wrote' one_line "$tack" build small.toml -o scored.gguf --set data.other=positive --set data.score=score
good 'Spearman' "$tack" eval scored.gguf pairs.csv
good 'MRR' "$tack" eval "$base" pairs.csv --positive positive
good 'teacher: .*teacher .*student ' one_line "$tack" build small.toml -o taughtp.gguf --set teacher.epochs=1
good 'is there already' "$tack" build small.toml -o taughtp.gguf --set teacher.epochs=1
good 'wrote' "$tack" build pairs.toml -o pairsl.gguf --set train.method=lora
bad 2 'needs \[train\] method' "$tack" build pairs.toml -o x.gguf --set train.method=head
bad 1 "line 2: column 'wrong' is 'item 0 is blue', which is no number" "$tack" build pairs.toml -o x.gguf --set data.other=positive --set data.score=wrong
bad 2 "no column 'absent'" "$tack" build pairs.toml -o x.gguf --set data.positive=absent
bad 2 "unknown key 'oos_label'" "$tack" build pairs.toml -o x.gguf --set data.oos_label=none
bad 1 'no label has two texts' "$tack" build pairs.toml -o x.gguf --set data.pairs=label --set data.label=text

finish
