#!/usr/bin/env bash
# Text from a decoder, from outside: `tack run`, and `tack serve` of a decoder.
#   tests/run_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

python3 "$root/tests/tiny_decoder.py" tiny || exit 1
"$tack" convert tiny m.gguf --type f32 >/dev/null 2>&1 || fail "convert"
m() { "$tack" run m.gguf "$@"; }

# the same seed gives the same text; a directory says what its GGUF says; temperature 0 needs no seed
same "seed" "$(m hello -n 20 --seed 3)" "$(m hello -n 20 --seed 3)"
same "directory" "$("$tack" run tiny hello -n 20 --seed 3)" "$(m hello -n 20 --seed 3)"
same "greedy" "$(m hello -n 20 --temperature 0)" "$(m hello -n 20 --temperature 0 --threads 1)"
same "standard input" "$(printf 'hello\n' | "$tack" run m.gguf -n 20 --seed 3)" "$(m hello -n 20 --seed 3)"
[ "$(m hello -n 20 --seed 3)" != "$(m hello -n 20 --seed 4)" ] || fail "another seed gives the same text"

# what was asked for
good '"finish_reason":"length","prompt_tokens":6,"output_tokens":5' m hello -n 5 --json
echo '{"type":"object","properties":{"n":{"type":"integer","minimum":1,"maximum":12}},"required":["n"]}' >s.json
for seed in 1 2 3; do good '^\{"n": ?([1-9]|1[0-2])\}$' m hello --json-schema s.json --seed $seed; done
good '^(yes|no)$' m hello --choice yes --choice no
text=$(m hello -n 30 --temperature 0 --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["text"][9])')
good '"finish_reason":"stop"' m hello -n 30 --temperature 0 --stop "$text" --json
good '6 tokens of prompt \(0 known\), [0-9.]+/s; 4 tokens' m hello -n 4 --stats

good '"output_tokens":5' m hello -n 5 --json --kv f32

bad 2 'f8 not in' m hello --kv f8
bad 2 'no model: give a .gguf' "$tack" run
bad 3 "no model 'nothing' here" "$tack" run nothing hello
bad 2 'the prompt has [0-9]+ tokens: with a context of 8 at most 7' m "a long prompt" --context 8
bad 2 'a context of 100000 tokens' m hello --context 100000
bad 2 'top_p = 2: must be' m hello --top-p 2
bad 2 '--json-schema or --choice' m hello --json-schema s.json --choice a
echo '{"type":"integer","minimum":3,"maximum":2}' >none.json
bad 2 'schema at #' m hello --json-schema none.json
echo '{"type":"object"' >broken.json
bad 1 'broken.json' m hello --json-schema broken.json
bad 2 'continues a text' m hello --system "be kind"
bad 2 'the prompt is empty' "$tack" run m.gguf
head -c 20000 m.gguf >cut.gguf
bad 1 'cut.gguf' "$tack" run cut.gguf hello
bad 2 'is an encoder' "$tack" run "$base" hello

# a template of the file makes it a conversation
mkdir chat && cp tiny/* chat/
echo '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]' >chat/chat_template.jinja
"$tack" convert chat chat.gguf --type f32 >/dev/null 2>&1
same "template kept" "$("$tack" run chat.gguf hello -n 9 --seed 1)" "$("$tack" run chat hello -n 9 --seed 1)"
same "template" "$("$tack" run chat.gguf hello --system be -n 9 --seed 1)" \
  "$(m '[system]be[user]hello[assistant]' -n 9 --seed 1)"
same "raw" "$("$tack" run chat.gguf hello --raw -n 9 --seed 1)" "$(m hello -n 9 --seed 1)"
echo '{{ raise_exception("never") }}' >chat/chat_template.jinja
bad 2 'never' "$tack" run chat hello
echo '{% for %}' >chat/chat_template.jinja
bad 1 'chat: chat template, line 1' "$tack" run chat hello
echo '{% for i in range(10000000) %}{% for j in range(10000000) %}{% endfor %}{% endfor %}' >chat/chat_template.jinja
bad 1 'template' "$tack" run chat hello

# served
"$tack" serve chat.gguf --alias tiny --port 0 2>log &
server=$!
trap 'kill -9 $server 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
  url=$(sed -n 's/^listening on \(http:[^ ]*\) .*/\1/p' log)
  [ -n "$url" ] && break
  sleep 0.1
done
post() { curl -sS -N --max-time 60 "$url$1" -d "$2"; }
# Random weights write bytes that are no UTF-8; JSON shows U+FFFD for them.
said=$(m '[user]hello[assistant]' -n 12 --temperature 0 |
  python3 -c 'import sys; print(sys.stdin.buffer.read().decode("utf-8", "replace"), end="")')
body='"messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "temperature": 0'
content='import json, sys; print(json.load(sys.stdin)["choices"][0]["message"]["content"])'
same "chat" "$(post /v1/chat/completions "{$body}" | python3 -c "$content")" "$said"
joined='import json, sys
print("".join(json.loads(line[6:])["choices"][0]["delta"].get("content", "")
              for line in sys.stdin if line.startswith("data: {")))'
same "streamed" "$(post /v1/chat/completions "{$body, \"stream\": true}" | python3 -c "$joined")" "$said"
good '"reused|"cached_tokens":[1-9]' post /v1/chat/completions "{$body}"
good '^\{"error".*at most' post /v1/completions "{\"prompt\": \"$(printf 'x%.0s' $(seq 300))\"}"
# several at once say what each says alone
for i in 1 2 3 4 5 6; do
  post /v1/chat/completions "{$body}" | python3 -c "$content" >"at_once.$i" &
  jobs_[i]=$!
done
wait "${jobs_[@]}"
for i in 1 2 3 4 5 6; do same "at once $i" "$(cat at_once.$i)" "$said"; done
# a client that leaves: the next one is answered
curl -sS -N --max-time 0.2 "$url/v1/completions" -d '{"prompt": "x", "max_tokens": 200, "stream": true}' >/dev/null 2>&1
good '"finish_reason":"length"' post /v1/completions '{"prompt": "x", "max_tokens": 3, "logit_bias": {"257": -100}}'
kill -TERM $server
wait $server || fail "serve stopped with $?"
finish
