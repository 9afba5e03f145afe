#!/usr/bin/env bash
# Training and distillation from outside.   tests/train_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

# --- a student of two layers, a teacher, and a process that is killed
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
good 'validation .*best .*frozen encoder.*trained .*wrote' one_line "$tack" build train.toml -o s.gguf --html s.html
good 'aria-label="Loss".*aria-label="Validation".*Side by side' one_line cat s.html
good 'side by side.*frozen encoder .*trained ' one_line "$tack" show s.gguf
good '"parameters": 154[0-9]{5},' one_line "$tack" show s.gguf --json  # 2 of 6 layers
[ "$(ls | grep -c '^s\.')" = 2 ] || fail "training left something behind: $(ls)"
# Killed once a checkpoint is there, it goes on and ends with the same model.
killed_at_checkpoint k.gguf.checkpoint "$tack" build train.toml -o k.gguf
bad 2 'set up otherwise: was .*"rate": 0.0002.*, is .*"rate": 0.0001' \
  "$tack" build train.toml -o k.gguf --set train.rate=1e-4
good 'continued from a checkpoint' "$tack" build train.toml -o k.gguf
same "a killed training ended elsewhere" "$(answers k.gguf)" "$(answers s.gguf)"
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
bad 2 'layers is 3, but .* has 2' "$tack" distill --teacher s.gguf --layers 3 --data "$texts" -o x.gguf
bad 2 "does not know the label" "$tack" build taught.toml -o g2.gguf --set data.oos_label=
bad 2 'there is no layer 9' "$tack" build train.toml -o x.gguf --set 'student.layers=[0, 9]'
bad 2 'layers is 7, but .* has 6' "$tack" build train.toml -o x.gguf --set student.layers=7
bad 2 'need \[train\] method' "$tack" build train.toml -o x.gguf --set train.method=head
bad 2 'method must be one of "head", "lora", "full"' "$tack" build train.toml -o x.gguf --set train.method=magic
bad 2 'expected SECTION.KEY=VALUE' "$tack" build train.toml -o x.gguf --set rate

# --- a full disk
if small_disk; then
  bad 1 'writing the checkpoint.*No space left' "$tack" build whole.toml -o small/x.gguf
  [ -z "$(ls small)" ] || fail "a full disk left $(ls small)"
  umount small
fi
finish
