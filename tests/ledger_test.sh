#!/usr/bin/env bash
# `tack ledger` from outside, on ledgers that made_up_ledger.py writes.
#   tests/ledger_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

sums=$(python3 "$root/tests/made_up_ledger.py" l.db 1000)
# agree SUMS: the JSON on standard input says what the sums say
agree() { checks=$((checks + 1)); python3 -c '
import json, sys
want, got = json.loads(sys.argv[1]), json.load(sys.stdin)["total"]
for key in ("requests", "local", "upstream", "escalations", "shadow_runs", "prompt_tokens"):
    assert got[key] == want[key], (key, got[key], want[key])
assert got["cost_nano"] == want["cost"] and got["baseline_cost_nano"] == want["baseline"], got
assert got["savings_nano"] == want["baseline"] - want["cost"], got
assert abs(got["savings"] - got["savings_nano"] / 1e9) < 1e-9, got' "$1" || fail "sums differ from $1"; }

# --- reports
"$tack" ledger l.db --json | agree "$sums"
good '^requests +1,000 \([0-9]+ failed\)' "$tack" ledger l.db
good '^savings +-?[0-9]' "$tack" ledger l.db
good '^model +requests' "$tack" ledger l.db --by model,day
good '^small +[0-9]' "$tack" ledger l.db --by model
good '^\(no answer\) +[0-9]' "$tack" ledger l.db --by model
good '^2026-11-07 +137 ' "$tack" ledger l.db --by day
good '^\(no key\) ' "$tack" ledger l.db --by client
good '"requests": 144,' "$tack" ledger l.db --since 2026-11-03 --until 2026-11-04 --json
good '"requests": 6,' "$tack" ledger l.db --since 2026-11-03T12:00Z --until '2026-11-03 13:00' --json
good 'requests +0 ' "$tack" ledger l.db --since 2036-11-03
good 'p50 - ms' "$tack" ledger l.db --since 2036-11-03
good 'wrote page.html' "$tack" ledger l.db --html page.html
good '<svg.*Cost a day' cat page.html
good 'By client' cat page.html
if grep -q 'http:\|https:\|<script\|src=' page.html; then fail "the page is not complete in itself"; fi
TACK_HOME=$dir/home
export TACK_HOME
bad 3 'there is no ledger .*home/ledger.db: `tack serve`' "$tack" ledger
mkdir home && cp l.db home/ledger.db
good 'requests +1,000' "$tack" ledger

# --- a name that would drive the terminal, or the page
python3 - <<'EOF'
import sqlite3
db = sqlite3.connect("home/ledger.db")
db.execute("UPDATE calls SET route = '<b>' || char(27) || '[31m' WHERE id < 10")
db.commit()
EOF
good '^<b>\?\[31m ' "$tack" ledger --by route
good '&lt;b&gt;\?' sh -c "$tack ledger --html p.html --by route >/dev/null && cat p.html"

# --- export
exported=$(printf '%s' "$sums" | python3 -c 'import json, sys; print(json.load(sys.stdin)["exported"])')
good "wrote $exported chat completions to out.jsonl" "$tack" ledger l.db --export out.jsonl
good 'left out: [0-9]+ without contents' "$tack" ledger l.db --export out.jsonl
same "exported lines" "$exported" "$(wc -l <out.jsonl | tr -d ' ')"
good "\"written\": $exported," "$tack" ledger l.db --export out.jsonl --json
checks=$((checks + 1))
python3 - <<'EOF' || fail "the export does not follow the schema"
import json
for line in open("out.jsonl"):
    row = json.loads(line)
    assert list(row) == ["timestamp", "workload_id", "client_id", "request", "response"], row
    assert type(row["timestamp"]) is int and 1793491200 <= row["timestamp"] < 1794200000, row
    assert row["workload_id"] == "work" and row["client_id"] in ("web", "default"), row
    assert row["request"]["messages"][0]["role"] == "user", row
    assert row["response"]["object"] == "chat.completion", row
EOF

# --- removal
cp l.db r.db
good 'removed 143 records from before 2026-11-02 00:00 UTC; 857 are left' "$tack" ledger r.db --remove-before 2026-11-02
good '"requests": 857' "$tack" ledger r.db --json
good '"removed": 0' "$tack" ledger r.db --remove-before 2026-11-02 --json
good 'removed 857 records' "$tack" ledger r.db --remove-before 2030-01-01
good 'requests +0 ' "$tack" ledger r.db --by model,route,client,day --html empty.html

# --- bad input
bad 3 'there is no ledger nowhere.db' "$tack" ledger nowhere.db
bad 3 'there is no ledger nowhere.db' "$tack" ledger nowhere.db --remove-before 7d
[ ! -e nowhere.db ] || fail "a ledger was made"
printf 'text,label\nhello there, world of rows,a\n%.0s' $(seq 100) >rows.csv
bad 1 'rows.csv: is no SQLite database' "$tack" ledger rows.csv
bad 1 'rows.csv: is no SQLite database' "$tack" ledger rows.csv --remove-before 7d
: >empty.db
bad 3 'empty.db: is empty' "$tack" ledger empty.db
bad 2 'is a directory' "$tack" ledger home
python3 -c 'import sqlite3; sqlite3.connect("other.db").executescript("CREATE TABLE t (x)")'
bad 1 'other.db: is a database of another program' "$tack" ledger other.db
bad 1 'other.db: is a database of another program' "$tack" ledger other.db --remove-before 7d
cp l.db newer.db && python3 -c 'import sqlite3; sqlite3.connect("newer.db").executescript("PRAGMA user_version = 9")'
bad 1 'newer.db: was written by a newer version of tack \(schema 9' "$tack" ledger newer.db
bad 2 "since: 'yesterday' is no time" "$tack" ledger l.db --since yesterday
bad 2 'is not before' "$tack" ledger l.db --since 2026-11-03 --until 2026-11-03
bad 2 'by' "$tack" ledger l.db --by colour
bad 2 'is the ledger itself' "$tack" ledger l.db --html l.db
bad 2 'is the ledger itself' "$tack" ledger l.db --export ./l.db
bad 2 'takes no' "$tack" ledger l.db --remove-before 7d --since 9d
bad 2 'takes no' "$tack" ledger l.db --export x.jsonl --by day
bad 1 'No space left|standard output' sh -c "$tack ledger l.db >/dev/full"
"$tack" ledger l.db --json | agree "$sums"  # nothing of all that changed it

# --- while another process writes, and when it holds the lock
python3 - <<'EOF' &
import sqlite3, time
db = sqlite3.connect("l.db", isolation_level=None)
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE calls SET reason = 'changed'")
time.sleep(8)
EOF
writer=$!
sleep 1
"$tack" ledger l.db --json | agree "$sums"
bad 1 'l.db: is locked by another process' "$tack" ledger l.db --remove-before 7d
wait $writer
finish
