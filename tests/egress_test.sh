#!/usr/bin/env bash
# Nothing leaves the machine when all routes are local: `tack serve` in a network namespace without routes, with every
# system call that could send something traced. An upstream that is asked proves that the trace would show it.
#   tests/egress_test.sh path/to/tack
# Needs strace, unshare, curl, and the right to make a network namespace; else it is skipped (77).
skip() { echo "SKIPPED: $*"; exit 77; }
if [ "${TACK_IN_NAMESPACE:-}" != 1 ]; then
  for program in strace unshare curl python3; do
    command -v "$program" >/dev/null || skip "no $program here (tools/install_packages test)"
  done
  strace -f -o /dev/null true 2>/dev/null || skip "strace may not trace here"
  for own in "unshare -n" "unshare -rn"; do
    $own true 2>/dev/null && TACK_IN_NAMESPACE=1 exec $own bash "$0" "$@"
  done
  skip "no right to make a network namespace"
fi
. "$(dirname "$0")/checks.sh"
unset TACK_AUDIT TACK_AUDIT_KEY TACK_LEDGER TACK_KEYS TACK_CONFIG
[ -f "$root/models/banking-intent.gguf" ] || skip "no models/banking-intent.gguf"
TACK_HOME=$dir/home
export TACK_HOME
mkdir home
# The loopback interface up, which `ip link set lo up` would need another package for.
python3 - <<'EOF' || skip "the loopback interface cannot be set up"
import fcntl, socket, struct
s = socket.socket()
flags = struct.unpack_from("16sH", fcntl.ioctl(s, 0x8913, struct.pack("16sH14x", b"lo", 0)))[1]
fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))
EOF
[ "$(wc -l </proc/net/route)" -le 1 ] || skip "this namespace has routes"

# serve CONFIG: starts the server under strace, sets $url
serve() {
  strace -f -qq -s 256 -o "$1.trace" -e trace=connect,sendto,sendmsg,sendmmsg,io_uring_setup \
    "$tack" serve --config "$1" 2>"$1.log" &
  tracer=$!
  url=
  for _ in $(seq 300); do
    url=$(sed -n 's/^listening on \(http:[^ ]*\).*/\1/p' "$1.log")
    [ -n "$url" ] && return
    kill -0 $tracer 2>/dev/null || break
    sleep 0.1
  done
  fail "$1: did not start: $(cat "$1.log")"
}
# stop: in order, so that what stopping does is traced too
stop() {
  kill -TERM "$(cat "/proc/$tracer/task/$tracer/children")" 2>/dev/null
  wait $tracer
}
# ask STATUS PATH BODY [HEADER]: sends it, wants that status
ask() {
  checks=$((checks + 1))
  local status body=${3:-}
  status=$(curl -s -o answer --noproxy '*' --max-time 60 -w '%{http_code}' -H 'content-type: application/json' \
    ${4:+-H "$4"} ${body:+-d "$body"} "$url$2")
  [[ $status =~ ^$1$ ]] || fail "$2 ${body:0:100}: status $status, wanted $1: $(head -c 300 answer 2>/dev/null)"
}
# What the trace has of ways out of the machine, one a line; also host lookups, wherever they are sent.
ways_out() {
  python3 - "$1.trace" <<'EOF'
import ipaddress, re, sys
seen = 0
for line in open(sys.argv[1], errors="replace"):
    call = re.match(r"\d+\s+(?:<\.\.\. )?(\w+)", line)
    if not call or call[1] not in ("connect", "sendto", "sendmsg", "sendmmsg", "io_uring_setup"):
        continue
    seen += 1
    if call[1] == "io_uring_setup":  # what goes through it is not traced
        print(line.strip())
    for family, rest in re.findall(r"sa_family=(\w+)([^}]*)", line):
        if family in ("AF_NETLINK", "AF_UNSPEC"):
            continue
        if family == "AF_UNIX":
            if re.search(r"nscd|resolve|avahi|sss", rest):
                print(line.strip())
            continue
        address = re.search(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', rest)
        port = re.search(r"port=htons\((\d+)\)", rest)
        ip = ipaddress.ip_address(address[1] or address[2]) if address else None
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip is None or not ip.is_loopback or (port and port[1] == "53"):
            print(line.strip())
print(f"{seen} calls", file=sys.stderr)
EOF
}

chat() { printf '{"model":"%s","messages":[{"role":"user","content":"%s"}]%s}' "$1" "$2" "${3:-}"; }
local_part="[serve]
port = 0
[models.banking]
path = \"$root/models/banking-intent.gguf\"
[models.mood]
path = \"$root/models/financial-sentiment.gguf\"
[models.minilm]
path = \"$base\"
[routes.auto]
to = \"banking\"
[routes.cascade]
to = [\"banking\", \"mood\"]
min_confidence = 0.99
[[routes.auto.rules]]
when = { contains = \"card\" }
to = \"banking\"
[routes.auto.shadow]
model = \"banking\"
[cache]
[ledger]
path = \"$dir/ledger.db\"
[audit]
path = \"$dir/audit.jsonl\"
"

# --- every route is local: nothing goes out, whatever is asked
printf '%s' "$local_part" >local.toml
serve local.toml
grep -q 'nothing leaves this machine' local.toml.log || fail "start-up says that something may leave: $(cat local.toml.log)"
ask 200 /v1/models
ask 200 /healthz
ask 200 /metrics
ask 200 /v1/chat/completions "$(chat auto 'where is my card?')"
ask 200 /v1/chat/completions "$(chat auto 'where is my card?' ',"stream":true')"
ask 200 /v1/chat/completions "$(chat cascade 'mail jane.doe@example.com at http://example.com/x')"
ask 200 /v1/chat/completions "$(chat banking 'hello')"
ask 404 /v1/chat/completions "$(chat openai/gpt-4.1 'hello')"
ask 404 /v1/chat/completions "$(chat http://192.0.2.1/v1 'hello')"
ask 200 /v1/embeddings '{"model":"minilm","input":["a","b"]}'
ask 200 /v1/classify '{"model":"banking","input":"where is my card?"}'
ask '4..' /v1/chat/completions '{"model":"auto","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://192.0.2.1/a.png"}}]}]}'
ask '4..' /v1/chat/completions '{"model"'
ask 404 /nowhere
stop
checks=$((checks + 1))
out=$(ways_out local.toml 2>calls)
[ -z "$out" ] || fail "something goes out with local routes alone: $out"
[ "$(sed 's/ calls//' calls)" -ge 10 ] || fail "answers were sent, and the trace has $(cat calls)"

# --- an upstream that is not asked: the client says that its texts stay here
printf '%s[upstreams.away]\nbase_url = "http://192.0.2.1:9/v1"\nretries = 0\nconnect_timeout = "2s"
[upstreams.named]\nbase_url = "http://upstream.invalid/v1"\nretries = 0\nconnect_timeout = "2s"\n' "$local_part" >away.toml
serve away.toml
grep -q 'texts may leave this machine for .*192.0.2.1' away.toml.log || fail "start-up does not say where texts may go: $(cat away.toml.log)"
ask 200 /v1/chat/completions "$(chat auto 'where is my card?')"
ask 403 /v1/chat/completions "$(chat away/any 'hello')" 'x-tack-local-only: true'
stop
checks=$((checks + 1))
out=$(ways_out away.toml 2>calls)
[ -z "$out" ] || fail "something goes out that must stay: $out"

# --- upstreams in the file, and a mode that lets nothing out: there is no client of them
{ cat away.toml; printf '[privacy]\nmode = "local-only"\n'; } >closed.toml
serve closed.toml
grep -q 'nothing leaves this machine' closed.toml.log || fail "start-up says that something may leave: $(cat closed.toml.log)"
ask 200 /v1/chat/completions "$(chat auto 'where is my card?')"
ask 403 /v1/chat/completions "$(chat away/any 'hello')"
ask 403 /v1/chat/completions "$(chat named/any 'hello')"
curl -s --noproxy '*' "$url/metrics" | grep -q tack_upstream_open && fail "there is a client of an upstream that nothing may leave for"
stop
checks=$((checks + 2))
out=$(ways_out closed.toml 2>calls)
[ -z "$out" ] || fail "something goes out of a closed server: $out"

# --- the same one asked: the trace shows the attempt, and that of looking a name up
serve away.toml
ask '5..' /v1/chat/completions "$(chat away/any 'hello')"
ask '5..' /v1/chat/completions "$(chat named/any 'hello')"
stop
checks=$((checks + 2))
out=$(ways_out away.toml 2>calls)
printf '%s' "$out" | grep -q '192\.0\.2\.1' || fail "the trace misses a connection that was tried: ${out:-nothing}"
if grep -q '^nameserver' /etc/resolv.conf 2>/dev/null; then
  printf '%s' "$out" | grep -qE 'htons\(53\)|resolve|nscd' || fail "the trace misses a name that was looked up: $out"
fi
finish
