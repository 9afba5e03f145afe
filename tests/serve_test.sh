#!/usr/bin/env bash
# `tack serve` from outside: starts on a free port, answers, refuses, stops cleanly.
#   tests/serve_test.sh path/to/tack [MODEL]     MODEL: a task model or an encoder; default: the encoder
# Needs curl. Exit code 77 (skipped, for CTest) when there is no model to serve.
set -u
tack=${1:?usage: serve_test.sh path/to/tack [MODEL]}
model=${2:-all-minilm-l6-v2}
dir=$(mktemp -d)
server=
failures=0
cleanup() {
  [ -n "$server" ] && kill -9 "$server" 2>/dev/null
  rm -rf "$dir"
}
trap cleanup EXIT

fail() { echo "FAIL: $*"; failures=$((failures + 1)); }
# expect WHAT PATTERN TEXT: the text matches the extended regular expression
expect() { printf '%s' "$3" | grep -qE -- "$2" || fail "$1: wanted /$2/, got: ${3:0:300}"; }

"$tack" serve "$model" --port 0 2>"$dir/log" &
server=$!
url=
for _ in $(seq 100); do
  url=$(sed -n 's/^listening on \(http:[^ ]*\) (.*/\1/p' "$dir/log")
  [ -n "$url" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
if [ -z "$url" ]; then
  wait "$server"; code=$?
  server=
  cat "$dir/log"
  [ "$code" = 3 ] && [ $# = 1 ] && echo "SKIPPED: no default model here" && exit 77
  echo "FAIL: serve did not start (exit code $code)"
  exit 1
fi

get() { curl -sS --max-time 20 "$url$1"; }
post() { curl -sS --max-time 20 -H 'Content-Type: application/json' -d "$2" "$url$1"; }
status() { curl -s --max-time 20 -o "$dir/body" -w '%{http_code}' "$@"; }

expect healthz '"status":"ok"' "$(get /healthz)"
expect readyz '"status":"ready"' "$(get /readyz)"
models=$(get /v1/models)
expect models '^\{"object":"list","data":\[\{"id":"[^"]+","object":"model".*"owned_by":"tackhammer"' "$models"
name=$(printf '%s' "$models" | sed 's/.*"data":\[{"id":"\([^"]*\)".*/\1/')

number='-?[0-9.]+(e[-+]?[0-9]+)?'
if printf '%s' "$models" | grep -q '"embedding_dim"'; then
  one=$(post /v1/embeddings "{\"model\":\"$name\",\"input\":[\"where is my card?\",\"hello\"]}")
  expect embeddings "\"embedding\":\[$number,$number," "$one"
  expect embeddings '"index":1' "$one"
  expect usage '"prompt_tokens":[1-9][0-9]*,"total_tokens":[1-9]' "$one"
  # The same text alone gives the same bits as in company.
  first=$(printf '%s' "$one" | sed 's/.*"index":0,"embedding":\(\[[^]]*\]\).*/\1/')
  alone=$(post /v1/embeddings '{"input":"where is my card?"}' |
    sed 's/.*"index":0,"embedding":\(\[[^]]*\]\).*/\1/')
  [ "$first" = "$alone" ] || fail "an embedding depends on its batch"
  expect base64 '"embedding":"[A-Za-z0-9+/]+=*"' \
    "$(post /v1/embeddings '{"input":"hello","encoding_format":"base64"}')"
  long=$(printf 'word %.0s' $(seq 5000))
  expect truncation '"truncated":1' "$(post /v1/embeddings "{\"input\":\"$long\"}")"
  expect dimensions '"param":"dimensions"' "$(post /v1/embeddings '{"input":"a","dimensions":7}')"
fi
if printf '%s' "$models" | grep -q '"heads"'; then
  head=$(printf '%s' "$models" | sed 's/.*"heads":{"\([^"]*\)".*/\1/')
  expect heads "\"heads\":\{\"$head\":\{\"label\":\"[^\"]+\",\"probability\":$number" \
    "$(post /v1/classify '{"input":["where is my card?","hello"]}')"
  expect head "\"index\":0,\"label\":\"[^\"]+\",\"probability\":$number" \
    "$(post /v1/classify "{\"input\":\"hello\",\"head\":\"$head\"}")"
  expect unknown-head '"param":"head"' "$(post /v1/classify '{"input":"a","head":"none"}')"
elif printf '%s' "$models" | grep -q '"labels"'; then
  classified=$(post /v1/classify '{"input":["where is my card?","hello"],"top_k":2}')
  expect classify "\"label\":\"[^\"]+\",\"probability\":$number,\"out_of_scope\":(true|false)" "$classified"
else
  [ "$(status -d '{"input":"x"}' "$url/v1/classify")" = 404 ] || fail "classify without labels"
fi

[ "$(status "$url/nothing")" = 404 ] || fail "404"
[ "$(status -X DELETE "$url/v1/models")" = 405 ] || fail "405"
[ "$(status -d '{"input":' "$url/v1/embeddings")" = 400 ] || fail "400"
expect error-object '^\{"error":\{"message":".*","type":"invalid_request_error"' "$(cat "$dir/body")"
[ "$(status -d '{"input":"x","model":"no-such"}' "$url/v1/embeddings")" = 404 ] || fail "unknown model"
expect unknown-model '"code":"model_not_found"' "$(cat "$dir/body")"
head -c 9000000 /dev/zero | tr '\0' ' ' >"$dir/large"
[ "$(status --data-binary @"$dir/large" "$url/v1/embeddings")" = 413 ] || fail "413"

# The port is taken: exit code 4, one line that names it.
port=${url##*:}
"$tack" serve "$model" --port "$port" 2>"$dir/second"
code=$?
[ "$code" = 4 ] || fail "port in use: exit code $code"
expect port-in-use "port $port .*in use" "$(cat "$dir/second")"
[ "$(wc -l <"$dir/second")" = 1 ] || fail "port in use: more than one line: $(cat "$dir/second")"
"$tack" serve "$dir/no-such.gguf" --port 0 2>"$dir/second"
code=$?
[ "$code" = 3 ] || fail "missing model: exit code $code"

# Without a name: all models that are here, without those that do not load, which are named. By name
# such a file is an error.
mkdir -p "$dir/home/models"
head -c 9000 "$(dirname "$0")/../models/all-minilm-l6-v2.int8.gguf" >"$dir/home/models/cut.gguf"
TACK_HOME=$dir/home "$tack" serve --port 0 2>"$dir/all" &
all=$!
for _ in $(seq 100); do
  grep -qs '^listening' "$dir/all" && break
  sleep 0.1
done
expect left-out 'left out: .*models/cut\.gguf: ' "$(cat "$dir/all")"
expect all-models 'models all-minilm-l6-v2\.int8, .*banking-intent.*snips-slots' "$(cat "$dir/all")"
kill -TERM "$all"
wait "$all" || fail "all models: exit code $?"
TACK_HOME=$dir/home "$tack" serve cut --port 0 2>"$dir/second" && fail "a broken file was served"
expect broken-file 'cut\.gguf: ' "$(cat "$dir/second")"
TACK_HOME=$dir/home "$tack" serve --alias x --port 0 2>"$dir/second"
[ $? = 2 ] || fail "--alias without models"

kill -TERM "$server"
for _ in $(seq 50); do
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
kill -0 "$server" 2>/dev/null && fail "still running 5 s after SIGTERM"
wait "$server"
code=$?
server=
[ "$code" = 0 ] || fail "SIGTERM: exit code $code"
grep -q 'where is my card' "$dir/log" && fail "a request's text is in the log"

[ "$failures" = 0 ] && echo "serve: all good" && exit 0
echo "serve: $failures failures"; cat "$dir/log"
exit 1
