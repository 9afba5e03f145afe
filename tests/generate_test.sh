#!/usr/bin/env bash
# Decoders from plain text, from outside.   tests/generate_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

# Sentences that can be learned in a second.
for who in cat dog bird fish; do for does in sleeps eats sings; do for where in "in the house" "under the tree"; do
  printf 'The %s %s %s.\nThen it goes home.\n\n' "$who" "$does" "$where"
done; done; done >animals.txt
cat >animals.toml <<EOF
[task]
kind = "generate"
[data]
train = "animals.txt"
licence = "CC0-1.0"
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
dropout = 0.1
checkpoint_seconds = 0
EOF
build() { "$tack" build animals.toml -o "$@"; }
good 'data: 22 documents to learn from.*merges learned from the text.*from scratch.*perplexity .* best .*bits per byte.*wrote a.gguf' \
  one_line build a.gguf --html a.html
good 'aria-label="Validation perplexity"' grep -o 'aria-label="Validation[^>]*"' a.html
good '^measured +perplexity [0-9.]+ per token' sh -c "$tack show a.gguf | grep measured"
good '"licence": "CC0-1.0"' "$tack" show a.gguf --json
good '"bits_per_byte"' "$tack" eval a.gguf animals.txt --documents --json
good 'perplexity +[1-9]\.[0-9]' "$tack" eval a.gguf animals.txt --documents
good 'pieces of at most 3 tokens' "$tack" eval a.gguf animals.txt --documents --length 3
[ "$(ls | grep -c '^a\.')" = 2 ] || fail "the build left $(ls)"

# Killed, it goes on and ends with the same bytes but for the time it took.
killed_at_checkpoint k.gguf.checkpoint "$tack" build animals.toml -o k.gguf
bad 2 'set up otherwise' build k.gguf --set train.seed=2
good 'continued from a checkpoint' build k.gguf
python3 "$root/tests/same_model.py" a.gguf k.gguf || fail "a killed training ended elsewhere"

# Further, with the tokenizer it has.
further() { sed "/^layers/,/^context/d; s|^\[model\]|&\nbase = \"$1\"|" animals.toml; }
further ./a.gguf >further.toml
further "$base" >encoder.toml
good 'base: perplexity' "$tack" build further.toml -o b.gguf --set train.epochs=2

: >empty.txt
printf '\n \n' >blank.txt
bad 1 'empty.txt: there is no text in it' build x.gguf --set data.train=empty.txt
bad 1 'blank.txt: there is no text in it' build x.gguf --set data.train=blank.txt
bad 3 'none.txt' build x.gguf --set data.train=none.txt
echo one >one.txt
bad 2 'none is left to learn from' build x.gguf --set data.train=one.txt
bad 2 'length = 100 is more than \[model\] context = 64' build x.gguf --set train.length=100
bad 2 'vocab must be a whole number from 257' build x.gguf --set model.vocab=256
bad 2 'no \[gate\]' build x.gguf --set gate.floor=0.5
bad 2 'is no even multiple of heads' build x.gguf --set model.heads=3
bad 2 'a decoder in a GGUF file' "$tack" build encoder.toml -o x.gguf
bad 2 'longer than its context of 64' "$tack" eval a.gguf animals.txt --documents --length 65
bad 2 'goes with --documents' "$tack" eval a.gguf animals.txt --length 3
bad 2 'measured on plain text' "$tack" eval a.gguf animals.txt --label x
bad 2 'is no decoder' "$tack" eval "$base" animals.txt --documents
good 'perplexity' sh -c "cat animals.txt animals.txt | $tack eval a.gguf - --context 64"
[ -z "$(ls | grep checkpoint)" ] || fail "left behind: $(ls)"
bad 2 'goes with --documents' "$tack" eval a.gguf animals.txt --html a.html
finish
