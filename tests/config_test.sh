#!/usr/bin/env bash
# `tack config` and `tack keys` from outside.   tests/config_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"
export TACK_HOME=$dir/home
unset OPENAI_API_KEY TACK_CONFIG TACK_HOST TACK_PORT TACK_KEYS TACK_LEDGER TACK_AUDIT

# --- no file, and the two places it is looked for
bad 3 'no tack.toml here nor in' "$tack" config validate
good 'serve.port = 8080' "$tack" config show
bad 3 'none.toml' "$tack" config validate none.toml
bad 3 'none.toml' "$tack" config show none.toml
bad 2 'subcommand is required' "$tack" config
mkdir -p home && echo '[serve]' >home/tack.toml
good 'home/tack.toml: good: 0 models, 0 upstreams, 0 routes; nothing leaves this machine' "$tack" config validate
echo '[serve]' >tack.toml
good '^tack.toml: good' "$tack" config validate
good 'home/tack.toml: good' env TACK_CONFIG=home/tack.toml "$tack" config validate

# --- the example in docs/config.md, with the files and variables it names
sed -n '/^## An example/,/^## /p' "$root/docs/config.md" | sed -n '/^```toml/,/^```$/p' | sed '1d;$d' >example.toml
bad 2 '^tack: example.toml: 4 mistakes$' "$tack" config validate example.toml
good 'example.toml:10: .*OPENAI_API_KEY is not set' bash -c '"$0" config validate example.toml; true' "$tack"
mkdir -p models routers && touch routers/auto.router
cp "$root/models/banking-intent.gguf" models/tickets.gguf
good '^tk-[0-9a-f]{64}$' "$tack" keys add support --file keys.toml
export OPENAI_API_KEY=sk-not-a-key
# Labels are those of the model: the example's are not banking-intent's.
bad 2 '2 mistakes' "$tack" config validate example.toml
sed -i 's/label = \[.*\], min/label = ["age_limit", "card_arrival"], min/' example.toml
good '^example.toml: good: 1 model \(tickets\), 2 upstreams \(openai, ollama\), 2 routes \(triage, auto\); texts may leave this machine for api.openai.com, 192.168.1.20$' \
  "$tack" config validate example.toml
good '"valid": true' "$tack" config validate example.toml --json
good '"leaves_for": \[ *"api.openai.com"' one_line "$tack" config validate example.toml --json
good 'upstreams.openai.key_env = "OPENAI_API_KEY" +# example.toml:10$' "$tack" config show example.toml --origin
good 'serve.threads = 0 +# default$' "$tack" config show example.toml --origin
same 'no key is shown' "$("$tack" config show example.toml --origin | grep -c 'sk-not-a-key')" 0

# --- every mistake, one a line, with its place; the exit code and one line of error say so too
cat >wrong.toml <<'END'
[serve]
prot = 80
host = "0.0.0.0"
[upstreams.openai]
base_url = "api.openai.com"
[routes.auto]
to = ["opnai/gpt-4.1", "auto"]
END
"$tack" config validate wrong.toml >out 2>err
same 'exit code of mistakes' $? 2
same 'all mistakes' "$(cut -d: -f1-2 out | tr '\n' ' ')" 'wrong.toml:2 wrong.toml:3 wrong.toml:5 wrong.toml:7 wrong.toml:7 '
same 'one line of error' "$(cat err)" 'tack: wrong.toml: 5 mistakes'
good "did you mean 'port'" cat out
good "did you mean 'openai'" cat out
bad 2 '^tack: wrong.toml:2: \[serve\] unknown key' "$tack" config show wrong.toml
bad 2 'wrong.toml: 5 mistakes' "$tack" config validate wrong.toml --json
good '"line": 7,' bash -c '"$0" config validate wrong.toml --json; true' "$tack"
printf '[serve\n' >broken.toml
bad 2 'broken.toml: 1 mistake$' "$tack" config validate broken.toml
head -c 2000000 /dev/zero >long.toml
bad 1 'long.toml: 2000000 bytes' "$tack" config validate long.toml
bad 1 'cannot write|standard output' bash -c '"$0" config show >/dev/full' "$tack"

# --- the environment stands over the file, the file over the defaults
printf '[serve]\nport = 1\nthreads = 3\n' >over.toml
good 'serve.port = 9 +# TACK_PORT$' env TACK_PORT=9 "$tack" config show over.toml --origin
good 'serve.threads = 3 +# over.toml:3$' env TACK_PORT=9 "$tack" config show over.toml --origin
good 'serve.port = 1 +# over.toml:2$' env TACK_PORT= "$tack" config show over.toml --origin
bad 2 'over.toml: TACK_PORT: \[serve\] port must be' env TACK_PORT=http "$tack" config show over.toml
bad 2 '1 mistake' env TACK_HOST=0.0.0.0 "$tack" config validate over.toml
good 'over.toml: good' env TACK_HOST=0.0.0.0 TACK_KEYS=keys.toml "$tack" config validate over.toml

# --- keys: the key is shown once, the file keeps its hash and is the owner's alone
key=$("$tack" keys add alice --requests-per-minute 60 --tokens-per-minute 1000 --local-only --upstreams a,b --models auto,m --expires 90d 2>/dev/null)
same 'length of a key' ${#key} 67
same 'mode of the file' "$(stat -c %a home/keys.toml)" 600
same 'the key is not in the file' "$(grep -c "${key#tk-}" home/keys.toml)" 0
good "sha256:$(printf %s "$key" | sha256sum | cut -d' ' -f1)" cat home/keys.toml
good 'alice +20..-..-.. +20..-..-.. +60 requests a minute, 1000 tokens a minute, local only, upstreams a b, models auto m' "$tack" keys list
good '"requests_per_minute": 60' "$tack" keys list --json
good '"key":"tk-' "$tack" keys add bob --json
good '"key":"tk-' "$tack" keys add masks --privacy mask --json
good 'masks .* masked' "$tack" keys list
good 'privacy = "mask"' cat home/keys.toml
bad 2 'local-only' "$tack" keys add none --privacy none
good 'bob' "$tack" keys list
bad 2 "there is a key 'bob' already" "$tack" keys add bob
bad 2 "no name of a key" "$tack" keys add 'b/c'
bad 2 'expected a span of time' "$tack" keys add carl --expires soon
bad 2 'expected a span of time' "$tack" keys add carl --expires 2030-02-30
bad 2 'is over already' "$tack" keys add carl --expires 2020-01-01
bad 2 'NAME|name' "$tack" keys add
bad 3 "no key 'bbo'; did you mean 'bob'" "$tack" keys remove bbo
good "removed the key 'bob'" "$tack" keys remove bob
bad 3 "no key 'bob'" "$tack" keys remove bob
bad 3 'none/keys.toml|none' "$tack" keys remove x --file none/keys.toml
[ ! -e none ] || fail 'removing made a directory'
good '^tk-' "$tack" keys add x --file new/directory/keys.toml
good 'no keys in' "$tack" keys list --file empty.toml

# --- what others can read is refused, whoever asks, and stays as it is
before=$(sha256sum home/keys.toml)
chmod 640 home/keys.toml
bad 5 'chmod 600' "$tack" keys list
bad 5 'chmod 600' "$tack" keys add dora
same 'a refused file is untouched' "$(sha256sum home/keys.toml)" "$before"
printf '[keys]\n' >keyed.toml
good 'keyed.toml:1: .*chmod 600' bash -c '"$0" config validate keyed.toml; true' "$tack"
chmod 600 home/keys.toml
good 'keyed.toml: good' "$tack" config validate keyed.toml
# An umask that gives others rights, or none to us, does not matter.
(umask 000; "$tack" keys add eve >/dev/null 2>&1)
same 'mode under umask 000' "$(stat -c %a home/keys.toml)" 600
# --- two at once: both are there
for i in 1 2 3 4 5 6 7 8; do "$tack" keys add "k$i" --file many.toml >/dev/null 2>&1 & done; wait
same 'keys made at once' "$("$tack" keys list --file many.toml | grep -c '^k')" 8
# --- a full disk leaves the old file
if small_disk; then
  "$tack" keys add a --file small/keys.toml >/dev/null 2>&1
  before=$(sha256sum small/keys.toml)
  head -c 2000000 /dev/zero >small/fill 2>/dev/null
  bad 1 'free space' "$tack" keys add b --file small/keys.toml
  same 'a full disk keeps the file' "$(sha256sum small/keys.toml)" "$before"
fi
finish
