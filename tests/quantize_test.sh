#!/usr/bin/env bash
# Quantization from outside: a tiny decoder calibrated, planned under a budget, written, run.
#   tests/quantize_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

python3 "$root/tests/tiny_decoder.py" tiny || exit 1
"$tack" convert tiny f32.gguf --type f32 >/dev/null 2>&1
cat "$root/tasks/data/tickets/test.csv" >text
size() { stat -c %s "$1"; }
value() { sed -n "s/^  *\"$1\": \([0-9.e+-]*\),*/\1/p" "$2" | head -n 1; }

# --- one type: as tack convert where all columns are worth the same
"$tack" convert tiny plain.gguf --type q4_0 >/dev/null 2>&1
good 'wrote rtn.gguf' "$tack" quantize f32.gguf -o rtn.gguf --type q4_0 --method rtn
same_data() { checks=$((checks + 1)); cmp -s <(tail -c 500000 "$1") <(tail -c 500000 "$2") || fail "$1 and $2 differ"; }
same_data rtn.gguf plain.gguf
good 'divergence measured' one_line "$tack" quantize f32.gguf -o q4k.gguf --type q4_k --data text --tokens 4096
good '2 in another type than asked' "$tack" quantize f32.gguf -o q4k.gguf --type q4_k --data text --tokens 1024

# --- the matrix is a file, of llama.cpp's format
good 'wrote im.gguf: 15 weights' "$tack" quantize f32.gguf -o a.gguf --type q4_0 --data text --tokens 4096 --save-imatrix im.gguf
good 'blk.1.ffn_down.weight.in_sum2' strings im.gguf
good 'wrote b.gguf' "$tack" quantize f32.gguf -o b.gguf --type q4_0 --data text --tokens 4096 --imatrix im.gguf
same_data a.gguf b.gguf

# --- a budget, in bytes of the file
for budget in 700000 800000 1000000; do
  "$tack" quantize f32.gguf -o mixed.gguf --budget $budget --data text --tokens 2048 --json >mixed.json 2>/dev/null ||
    fail "--budget $budget: exit code $?"
  checks=$((checks + 1))
  [ "$(size mixed.gguf)" -le $budget ] || fail "--budget $budget: $(size mixed.gguf) bytes"
  [ "$(size mixed.gguf)" -ge $((budget * 94 / 100)) ] || fail "--budget $budget: only $(size mixed.gguf) bytes"
  same "bytes that were predicted" "$(value bytes mixed.json)" "$(size mixed.gguf)"
  cp mixed.json mixed.$budget.json
done
checks=$((checks + 1))
awk "BEGIN { a = $(value measured mixed.700000.json); b = $(value measured mixed.800000.json); c = $(value measured mixed.1000000.json); exit !(a > b && b > c && c > 0) }" ||
  fail "divergences of larger budgets are not smaller"
good '"decode_tps": [1-9]' "$tack" bench mixed.gguf --prefill 32 --decode 4 --rounds 1 --json
good '[0-9]+ bytes .* bits a weight.*all in one type: q4_0' one_line "$tack" quantize f32.gguf --type q4_k --dry-run
"$tack" quantize f32.gguf --budget 800000 --data text --tokens 2048 --dry-run --json >dry.json 2>/dev/null
same "bytes of a dry run" "$(value bytes dry.json)" "$(value bytes mixed.800000.json)"
good 'wrote bits.gguf' "$tack" quantize f32.gguf -o bits.gguf --bits 6.5 --data text --tokens 2048

good 'wrote gptq.gguf' "$tack" quantize f32.gguf -o gptq.gguf --type q4_0 --data text --tokens 4096 --method gptq

# any number of threads writes the same file; onto itself
"$tack" quantize f32.gguf -o one.gguf --budget 0.8MB --data text --tokens 2048 --threads 1 >/dev/null 2>&1
"$tack" quantize f32.gguf -o two.gguf --budget 0.8MB --data text --tokens 2048 --threads 2 >/dev/null 2>&1
checks=$((checks + 1))
cmp -s one.gguf two.gguf || fail "the number of threads changes the file"
cp f32.gguf self.gguf
"$tack" quantize self.gguf -o self.gguf --budget 0.8MB --data text --tokens 2048 >/dev/null 2>&1 || fail "onto itself"
same_data self.gguf one.gguf
# killed, it goes on
killed_at_checkpoint killed.gguf.checkpoint "$tack" quantize f32.gguf -o killed.gguf --budget 0.8MB --data text --tokens 2048
"$tack" quantize f32.gguf -o killed.gguf --budget 0.8MB --data text --tokens 2048 >/dev/null 2>&1
checks=$((checks + 1))
cmp -s killed.gguf one.gguf || fail "a resumed run differs"
[ ! -f killed.gguf.checkpoint ] || fail "the checkpoint stayed"

# --- what is refused
bad 2 'one of --type, --budget and --bits' "$tack" quantize f32.gguf -o x.gguf
bad 2 'one of --type, --budget and --bits' "$tack" quantize f32.gguf -o x.gguf --type q4_0 --bits 4
bad 2 'name the file to write' "$tack" quantize f32.gguf --type q4_0
bad 2 "'much' is no size" "$tack" quantize f32.gguf -o x.gguf --budget much
bad 2 'a file of 100000 bytes is not possible: the smallest takes [0-9]+ ' "$tack" quantize f32.gguf -o x.gguf --budget 100000 --data text
bad 2 'is quantised already .*--requantize' "$tack" quantize q4k.gguf -o x.gguf --type q4_0 --data text
good 'wrote again.gguf' "$tack" quantize q4k.gguf -o again.gguf --type q4_0 --data text --tokens 1024 --requantize
bad 2 'has fewer than 256 tokens' sh -c "echo hi >short; $tack quantize f32.gguf -o x.gguf --type q4_0 --data short"
bad 2 "unknown type 'q9'" "$tack" quantize f32.gguf -o x.gguf --type q9 --data text --tokens 1024
python3 "$root/tests/tiny_decoder.py" other --width 64
bad 2 "columns, in .* it is of another model" "$tack" quantize other -o x.gguf --type q4_0 --data text --imatrix im.gguf
bad 1 'no importance matrix' "$tack" quantize f32.gguf -o x.gguf --type q4_0 --data text --imatrix f32.gguf
bad 3 'nowhere' "$tack" quantize f32.gguf -o x.gguf --type q4_0 --imatrix nowhere.gguf

# --- an encoder
head -n 60 text >lines
"$tack" convert "$base" e.f32.gguf --type f32 >/dev/null 2>&1
good '1 - cosine' one_line "$tack" quantize e.f32.gguf -o e.gguf --type q8_0 --data lines
good '"index":0' sh -c "echo hello | $tack embed e.gguf --json"
finish
