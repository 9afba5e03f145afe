#!/usr/bin/env bash
# Types of weights from outside: a tiny decoder is converted to each, shown, and run.
#   tests/types_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

python3 "$root/tests/tiny_decoder.py" tiny || exit 1
good 'tensors: 5 f32, 16 q8_0' one_line "$tack" convert tiny q8_0.gguf --type q8_0
good 'blk.0.attn_norm.weight +f32 +\[256\]' "$tack" show q8_0.gguf --tensors
for type in f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs; do
  good "MB, $type tensors: .*$type" one_line "$tack" convert tiny $type.gguf --type $type
  good "blk.1.attn_q.weight +$type +\[256,256\]" "$tack" show $type.gguf --tensors
  good '"decode_tps": [1-9]' "$tack" bench $type.gguf --prefill 32 --decode 4 --rounds 1 --json
done
good '2 in q5_0 instead of q4_k: their rows are no whole number of 256' "$tack" convert tiny q4_k.gguf --type q4_k
good 'token_embd.weight +q6_k +\[258,256\]' "$tack" show q4_k.gguf --tensors
good 'output.weight +q6_k +\[258,256\]' "$tack" show q4_k.gguf --tensors

# from a GGUF of another type the same file comes out, and its tokenizer stays
"$tack" convert f32.gguf again.gguf --type q4_k >/dev/null 2>&1
tensors() { "$tack" show "$1" --tensors | grep weight; }
same "tensors by way of f32" "$(tensors again.gguf)" "$(tensors q4_k.gguf)"
same "tokens" "$(echo "hello you" | "$tack" tokenize again.gguf)" "$(echo "hello you" | "$tack" tokenize tiny)"
good 'from q4_k: what that type lost stays lost' "$tack" convert q4_k.gguf f16again.gguf --type f16
"$tack" convert tiny one.gguf --type q4_k --threads 1 --name x >/dev/null 2>&1
"$tack" convert tiny two.gguf --type q4_k --threads 2 --name x >/dev/null 2>&1
cmp -s one.gguf two.gguf || fail "the number of threads changes the file"
# onto itself
cp q8_0.gguf self.gguf
good 'MB, q4_0' "$tack" convert self.gguf self.gguf --type q4_0
good 'blk.0.attn_q.weight .*q4_0' "$tack" show self.gguf --tensors

# --- how well it predicts, and how far the types are from f32
cat "$root/tasks/data/tickets/test.csv" >text
good '16 chunks of 256 tokens.* perplexity' one_line "$tack" eval f32.gguf text --kl-base f32.probs --chunks 16
divergence() { "$tack" eval "$1.gguf" text --kl f32.probs --json | sed -n 's/^ *"kl": \([0-9.e-]*\),*/\1/p'; }
good '"same_top": 1.0' "$tack" eval f32.gguf --kl f32.probs --json
checks=$((checks + 1))
awk "BEGIN { exit !($(divergence f32) < 1e-5 && $(divergence q8_0) < $(divergence q6_k) && $(divergence q6_k) < $(divergence q4_k) && $(divergence q4_k) < $(divergence q4_0)) }" \
  || fail "divergences: $(for t in f32 q8_0 q6_k q4_k q4_0; do divergence $t; done | tr '\n' ' ')"
bad 2 'is a decoder: name a file of text' "$tack" eval f32.gguf
bad 2 'fewer than a chunk of 256' sh -c "echo hi >short; $tack eval f32.gguf short"
bad 2 'chunks of 300 tokens: the model takes 4 to 256' "$tack" eval f32.gguf text --context 300
bad 2 'made from another text' sh -c "tac text >other; $tack eval f32.gguf other --kl f32.probs"
bad 1 'it is incomplete' sh -c "head -c 5000 f32.probs >cut.probs; $tack eval f32.gguf --kl cut.probs"
bad 1 'no file of log-probabilities' "$tack" eval f32.gguf --kl text
bad 2 'name a file of rows' "$tack" eval "$base"

# --- what is refused
bad 2 "unknown type 'q4_k_m': choose one of f32, .*q6_k" "$tack" convert tiny x.gguf --type q4_k_m
bad 2 'int8 is a type of encoders' "$tack" convert tiny x.gguf --type int8
python3 "$root/tests/tiny_decoder.py" nan --width 64 --spoil model.layers.1.mlp.up_proj.weight nan
bad 1 "tensor 'blk.1.ffn_up.weight': row 0: value 5 is nan" "$tack" convert nan x.gguf --type q4_0
python3 "$root/tests/tiny_decoder.py" large --width 64 --spoil lm_head.weight 1e9
bad 1 "tensor 'output.weight': row 0: value 5 is 1000000000, too large for f16: use bf16 or f32" "$tack" convert large x.gguf --type f16
good 'MB, bf16' "$tack" convert large ok.gguf --type bf16
if small_disk; then
  bad 1 'No space left' "$tack" convert tiny small/x.gguf --type f32
  [ -z "$(ls small)" ] || fail "a conversion that failed left $(ls small)"
fi

# --- an encoder too
good 'MB, q4_k' "$tack" convert "$base" e.gguf --type q4_k
good '"index":0' sh -c "echo hello | $tack embed e.gguf --json"
finish
