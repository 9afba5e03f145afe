#!/usr/bin/env bash
# A model with several heads from outside: two questions about the same texts, a third with rows of its own.
#   tests/heads_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"
awk 'NR == 1 || NR % 3 == 0' "$root/tasks/data/tickets/test.csv" >few.csv

awk -F, -v OFS=, 'NR == 1 { print "text,intent,size"; next }
  { print $0, (length($0) > 60 ? "long" : "short") }' few.csv | grep -v '"' >sized.csv
awk 'BEGIN {
  print "text,mood"
  split("good great fine lovely bad awful poor sad", word)
  for (i = 0; i < 48; ++i) printf "that was %s number %d,%s\n", word[i % 8 + 1], i, i % 8 < 4 ? "happy" : "unhappy"
}' >mood.csv
cat >heads.toml <<EOF
[task]
name = "all"
[data]
train = "sized.csv"
[heads.intent]
label = "intent"
oos_label = "oos"
[heads.size]
label = "size"
weight = 0.5
[heads.mood]
train = "mood.csv"
label = "mood"
floor = 0.3
[train]
epochs = 2
rate = 3e-4
checkpoint_seconds = 0
EOF
{ cat heads.toml; printf '[student]\nlayers = 2\n'; } >trained.toml
trained="--set train.method=full"
good 'intent: data: .*size: data: .*mood: data: .*gate passed.*wrote all.gguf \([0-9.]+ MB, 3 heads\)' one_line "$tack" build heads.toml --html all.html
good 'Confusion' cat all.size.html
good 'head intent +20: .*head size +2: long, short.*head mood +2: happy, unhappy' one_line "$tack" show all.gguf
good '^intent=[a-z_]+ ([(]out of scope[?][)] )?[01]\.[0-9]+.size=(long|short) [^=]*mood=happy .*that was lovely$' sh -c "echo 'that was lovely' | $tack classify all.gguf"
good '^unhappy.*[01]\.[0-9]+.that was awful$' sh -c "echo 'that was awful' | $tack classify all.gguf --head mood"
good '"heads":\{"intent":\{"label":.*"size":.*"mood":\{"label":"happy","probability":.*"top":\[' sh -c "echo 'that was lovely' | $tack classify all.gguf --json"
good '^text,intent,intent_probability,intent_out_of_scope,size,' sh -c "echo 'that was lovely' | $tack classify all.gguf --output csv"
good '2 labels' "$tack" eval all.gguf mood.csv --head mood
good '"out_of_scope"' "$tack" eval all.gguf sized.csv --head intent --json
good 'all good' bash "$root/tests/serve_test.sh" "$tack" all.gguf
good 'sequences_per_s' "$tack" bench all.gguf --tokens 8 --rounds 5 --json
bad 2 'several heads; choose one: intent, size, mood' "$tack" eval all.gguf mood.csv
bad 2 "no head 'colour'; it has: intent, size, mood" sh -c "echo x | $tack classify all.gguf --head colour"
good 'wrote' "$tack" build --data mood.csv --text text --label mood -o s.gguf
bad 2 "has one head, without a name" sh -c "echo x | $tack classify s.gguf --head mood"
bad 2 'several heads: teach its student' "$tack" distill --teacher all.gguf --layers 1 --data few.csv -o x.gguf
bad 5 'gate refused' "$tack" build heads.toml -o x.gguf --set heads.size.floor=0.999
[ ! -e x.gguf ] || fail "a model with a head that was refused was left behind"
good 'gate passed' "$tack" build heads.toml -o again2.gguf --set gate.baseline=./all.gguf --set gate.margin=-0.5
good 'training: [0-9]+ texts with .*best .* after epoch .*wrote' one_line "$tack" build trained.toml $trained -o heads.gguf
killed_at_checkpoint headsk.gguf.checkpoint "$tack" build trained.toml $trained -o headsk.gguf
bad 2 'set up otherwise: was .*weight 0.5.*, is .*weight 2' \
  "$tack" build trained.toml $trained -o headsk.gguf --set heads.size.weight=2
good 'continued from a checkpoint' "$tack" build trained.toml $trained -o headsk.gguf
answers() { "$tack" classify "$1" few.csv --json | sha256sum; }
same "a killed training of several heads ended elsewhere" "$(answers headsk.gguf)" "$(answers heads.gguf)"
{ cat trained.toml; printf '[teacher]\nmodel = "./heads.gguf"\n'; } >taught2.toml
good 'student: layers 0 of 2.*teacher: accuracy .*wrote' one_line "$tack" build taught2.toml $trained -o student.gguf --set student.layers=1
sed 's/heads.size/heads.length/' taught2.toml >taught3.toml
bad 2 "no head 'length'; it has: intent, size, mood" "$tack" build taught3.toml $trained -o x.gguf --set student.layers=1
bad 2 'the teacher has 1 heads, the task 3' "$tack" build taught2.toml $trained -o x.gguf --set teacher.model=./s.gguf
good 'adapter: lh.lora.gguf' "$tack" build heads.toml -o lh.gguf --set train.method=lora --set train.epochs=1
good 'mood=happy' sh -c "echo 'that was lovely' | $tack classify lh.lora.gguf"
finish
