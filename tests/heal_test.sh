#!/usr/bin/env bash
# Quantized models that learn, from outside.   tests/heal_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

for who in cat dog bird fish; do for does in sleeps eats sings; do for where in "in the house" "under the tree"; do
  printf 'The %s %s %s.\nThen it goes home.\n\n' "$who" "$does" "$where"
done; done; done >animals.txt
cat >animals.toml <<EOT
[task]
kind = "generate"
[data]
train = "animals.txt"
[model]
layers = 1
d = 32
heads = 2
ff = 32
vocab = 290
context = 64
[train]
epochs = 20
batch_tokens = 200
rate = 1e-2
EOT
good 'wrote a.gguf' "$tack" build animals.toml -o a.gguf
good 'q4_0' "$tack" convert a.gguf q.gguf --type q4_0
heal() { "$tack" heal q.gguf --teacher a.gguf --data animals.txt --steps 30 --batch-tokens 200 "$@"; }
good 'held-out text: 0\.[0-9]+ nats per token before, 0\.[0-9]+ after \(.* less\).*wrote h.gguf' \
  one_line heal -o h.gguf
same 'bytes of tensors' "$("$tack" show q.gguf --json | grep -c q4_0)" \
  "$("$tack" show h.gguf --json | grep -c q4_0)"
good '"healing"' "$tack" show h.gguf --json
good '"after"' heal -o j.gguf --json --codes learned
good 'divergence .KL. +0' sh -c "$tack eval a.gguf animals.txt --context 32 --kl-base p && $tack eval h.gguf --kl p"

# Killed, it goes on and ends with the same bytes.
killed_at_checkpoint k.gguf.checkpoint heal -o k.gguf --checkpoint-seconds 0
bad 2 'set up otherwise' heal -o k.gguf --seed 2
good 'wrote k.gguf' heal -o k.gguf
cmp h.gguf k.gguf || fail "a killed healing ended elsewhere"
# In place.
cp q.gguf same.gguf
good 'wrote same.gguf' "$tack" heal same.gguf --teacher a.gguf --data animals.txt --steps 2 -o same.gguf

bad 2 'no tensor of it is quantized' "$tack" heal a.gguf --teacher a.gguf --data animals.txt -o x.gguf
bad 2 'is no decoder' "$tack" heal q.gguf --teacher "$base" --data animals.txt -o x.gguf
bad 3 'none.txt' "$tack" heal q.gguf --teacher a.gguf --data none.txt -o x.gguf
echo one >one.txt
bad 2 'none is left to learn from' "$tack" heal q.gguf --teacher a.gguf --data one.txt -o x.gguf
bad 2 'longer than the context' heal -o x.gguf --length 65
bad 2 'codes' heal -o x.gguf --codes thawed

# An encoder whose weights are trained in the type that the result has.
printf 'text,label\n' >rows.csv
for i in 1 2 3 4 5 6 7 8; do
  printf 'it will rain %s times,weather\nbake %s loaves of bread,food\n' "$i" "$i"
done >>rows.csv
cat >rows.toml <<EOT
[data]
train = "rows.csv"
[student]
layers = 1
[train]
method = "full"
epochs = 2
batch = 4
quantize = "q4_0"
quantize_after = 0.25
EOT
good 'wrote t.gguf' "$tack" build rows.toml -o t.gguf
good '"q4_0":13' "$tack" show t.gguf
bad 2 'left out when \[model\] has a type' "$tack" build rows.toml -o x.gguf --set model.type=f16
bad 2 'left out unless method' "$tack" build rows.toml -o x.gguf --set train.method=lora
bad 2 'quantize must be one of' "$tack" build rows.toml -o x.gguf --set train.quantize=q3
finish
