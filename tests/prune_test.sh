#!/usr/bin/env bash
# Pruning from outside: tokens, layers, channels and heads of an encoder and of a tiny decoder.
#   tests/prune_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

train=$root/tasks/data/tickets/train.csv
"$tack" build --data "$root/tasks/data/tickets/test.csv" --label intent --oos-label oos -o task.gguf >/dev/null 2>&1
model=$PWD/task.gguf
size() { stat -c %s "$1"; }
json() { sed -n "s/^ *\"$2\": \([0-9.e-]*\),*/\1/p" "$1" | head -1; }

# --- tokens of a task model
good 'tokens: 6000 of 30522 stay: [0-9]+ always, [0-9]+ more that the texts use, [0-9]+ by the.*100.00 % of [0-9]+ words have the tokens they had' \
  one_line "$tack" prune "$model" --keep-tokens-of "$train" --text text --vocabulary 6000 -o small.gguf
"$tack" prune "$model" --keep-tokens-of "$train" --text text --vocabulary 6000 --dry-run --json >dry.json
same "bytes of --dry-run" "$(json dry.json bytes)" "$(size small.gguf)"
same "bytes before" "$(json dry.json bytes_before)" "$(size "$model")"
answers() { cut -d, -f1 "$train" | sed -n 2,40p | "$tack" classify "$1" --json; }
same "answers to texts whose tokens stay" "$(answers small.gguf)" "$(answers "$model")"
good '"vocabulary": 6000' "$tack" show small.gguf --json
good 'pruned' "$tack" show small.gguf --json
same "a word that lost its piece" "$(echo zebrafish | "$tack" tokenize small.gguf | grep -c UNK)" 0
good 'words have the tokens they had' one_line "$tack" prune small.gguf --keep-tokens-of "$train" --text text -o smaller.gguf
same "answers after two" "$(answers smaller.gguf)" "$(answers "$model")"

# --- layers of it
good 'without layer [0-9].*layers [0-9](, [0-9]){4} stay' one_line "$tack" prune "$model" --layers 5 --data "$train" --text text -o shallow.gguf
good 'layers 0, 2, 3, 4, 5 stay' "$tack" prune "$model" --drop-layers 1 -o dropped.gguf
good '^[a-z_]+	' sh -c "echo 'where is my card' | $tack classify dropped.gguf"

# --- a decoder
python3 "$root/tests/tiny_decoder.py" tiny || exit 1
"$tack" convert tiny f32.gguf --type f32 >/dev/null 2>&1
"$tack" convert tiny q4_0.gguf --type q4_0 >/dev/null 2>&1
cp "$root/tasks/data/tickets/test.csv" text.txt
good 'layer 1: feed-forward lost [0-9.]+ %.*KL divergence per token' one_line "$tack" prune f32.gguf --ffn 256 --data text.txt -o narrow.gguf
good 'blk.0.ffn_down.weight +f32 +\[256,256\]' "$tack" show narrow.gguf --tensors
good 'perplexity' "$tack" eval narrow.gguf text.txt --chunks 2
good 'layers [01] stay' "$tack" prune q4_0.gguf --layers 1 --data text.txt -o one.gguf
good 'perplexity' "$tack" eval one.gguf text.txt --chunks 2
good 'are f16' one_line "$tack" prune q4_0.gguf --ffn 256 --data text.txt --requantize -o halves.gguf
"$tack" prune f32.gguf --ffn 256 --data text.txt --threads 1 -o again.gguf >/dev/null 2>&1
cmp -s narrow.gguf again.gguf || fail "the number of threads changes the file"
"$tack" prune f32.gguf --ffn 256 --data text.txt --dry-run --json >dry.json 2>/dev/null
same "bytes of --dry-run" "$(json dry.json bytes)" "$(size narrow.gguf)"

# --- what is refused
bad 2 'say what to prune' "$tack" prune "$model" -o x.gguf
bad 2 'say where the model goes' "$tack" prune "$model" --vocabulary 3000
bad 2 'one after another' "$tack" prune "$model" --vocabulary 3000 --layers 2 -o x.gguf
bad 2 'too few: [0-9]+ have to stay' "$tack" prune "$model" --vocabulary 100 -o x.gguf
bad 2 'it has 30522 tokens' "$tack" prune "$model" --vocabulary 40000 -o x.gguf
bad 2 'it has 6 layers; choose 1 to 5' "$tack" prune "$model" --layers 6 --data "$train" --text text -o x.gguf
bad 2 'no texts to measure on' "$tack" prune "$model" --layers 2 -o x.gguf
bad 2 'there is no layer 9' "$tack" prune "$model" --drop-layers 9 -o x.gguf
bad 2 'in blocks already' "$tack" prune "$model" --heads 6 --data "$train" --text text -o x.gguf
bad 2 'BERT.s can be pruned' "$tack" prune f32.gguf --heads 2 --data text.txt -o x.gguf
bad 2 'multiple of 32' "$tack" prune f32.gguf --ffn 250 --data text.txt -o x.gguf
bad 3 'no such|not there|No such' "$tack" prune "$model" --keep-tokens-of none.csv -o x.gguf
bad 2 'convert the model to GGUF first' "$tack" prune tiny --vocabulary 257 -o x.gguf
if small_disk; then
  bad 1 'No space left' "$tack" prune "$model" --vocabulary 3000 -o small/x.gguf
  [ -z "$(ls small)" ] || fail "a pruning that failed left $(ls small)"
fi
finish
