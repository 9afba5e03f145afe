#!/usr/bin/env bash
# `tack audit` from outside, on logs that tests/made_up_audit.py writes: in Python, by the description of the format.
#   tests/audit_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"
unset TACK_AUDIT TACK_AUDIT_KEY
make_log() { python3 "$root/tests/made_up_audit.py" "$@"; }
TACK_HOME=$dir/home
export TACK_HOME
mkdir home

# --- no log, no key
bad 3 'there is no audit log .*home/audit.jsonl' "$tack" audit verify
make_log home/audit.jsonl 100 2>/dev/null || { echo "SKIP: python3 with hashlib.blake2b is needed"; exit 77; }
mv home/audit.key kept.key
bad 3 'key of the audit log .*audit.key: No such file.*--key' "$tack" audit verify
good '100 records right and in place' "$tack" audit verify --key kept.key
mv kept.key home/audit.key
chmod 644 home/audit.key
bad 5 'others than its owner have rights to it \(mode 644\).*chmod 600' "$tack" audit verify
chmod 600 home/audit.key
echo zz >wrong.key && chmod 600 wrong.key
bad 2 '64 hexadecimal digits' "$tack" audit verify --key wrong.key
head -c 32 /dev/zero | od -An -v -tx1 | tr -d ' \n' >zero.key && chmod 600 zero.key
bad 5 'no record was written with this key' "$tack" audit verify --key zero.key
TACK_AUDIT_KEY=$(cat home/audit.key) good '100 records right' "$tack" audit verify

# --- verify, head
good '100 lines in 1 file: 100 records right and in place' "$tack" audit verify
good 'cannot be known without a head' "$tack" audit verify
good '"ok": true' "$tack" audit verify --json
head=$("$tack" audit head)
checks=$((checks + 1))
printf '%s' "$head" | grep -qE '^tack-audit-1:[0-9a-f]{16}:99:[0-9]+:[0-9a-f]{64}$' || fail "head: $head"
"$tack" audit head >>heads.txt
good 'complete up to record 99' "$tack" audit verify --head "$head"
good 'complete up to record 99' "$tack" audit verify --head heads.txt
good '"seq": 99' "$tack" audit head --json
bad 2 'is no head of an audit log' "$tack" audit verify --head nonsense
echo nonsense >bad_heads.txt
bad 2 'bad_heads.txt:1: .*is no head' "$tack" audit verify --head bad_heads.txt

# --- damages, each in its line: damage SED-PROGRAM KIND LINE
damage() {
  sed "$1" home/audit.jsonl >damaged.jsonl
  checks=$((checks + 1))
  "$tack" audit verify damaged.jsonl --json >out.json 2>err.txt </dev/null
  [ $? = 5 ] || fail "$1: not found"
  [ "$(wc -l <err.txt)" = 1 ] || fail "$1: $(cat err.txt)"
  python3 -c '
import json, sys
report = json.load(open("out.json"))
found = [(d["kind"], d["line"]) for d in report["damages"]]
assert found == [(sys.argv[1], int(sys.argv[2]))] and report["damage_count"] == 1, found' "$2" "$3" || fail "$1"
}
damage '40s/"outcome":"ok"/"outcome":"no"/' changed 40
damage '1s/"begin"/"began"/' changed 1
damage '$s/"outcome":"ok"/"outcome":"no"/' changed 100
damage 40d deleted 40
damage 1d deleted 1
damage '40{h;d};60G' moved 60
damage '40{h;G}' inserted 41
damage '40i hello' inserted 40
bad 5 'the audit log is damaged: 1 damage, the first in line 40 of damaged.jsonl' "$tack" audit verify damaged.jsonl
head -n 90 home/audit.jsonl >cut.jsonl
good '90 records right' "$tack" audit verify cut.jsonl
bad 5 'damaged: 1 damage, the first in line 90' "$tack" audit verify cut.jsonl --head "$head"
head -c -5 home/audit.jsonl >cut.jsonl
bad 5 'damaged: 1 damage, the first in line 100' "$tack" audit verify cut.jsonl

# --- show
good '^2026-.*  request  ok  client=support' "$tack" audit show --client support
same 'records of a client' "$("$tack" audit show --client support | wc -l)" 33
same 'records of an event' "$("$tack" audit show --event begin | wc -l)" 1
same 'one request' "$("$tack" audit show --id req-7 --json | wc -l)" 1
good '"seq":50,' "$tack" audit show --id jane@example.com --json
same 'none without the key' "$(TACK_AUDIT_KEY=$(cat zero.key) "$tack" audit show --id jane@example.com | wc -l)" 0
same 'as they are' "$("$tack" audit show --json)" "$(cat home/audit.jsonl)"
same 'none that late' "$("$tack" audit show --since 2036-01-01 | wc -l)" 0
good '1 line is no record' "$tack" audit show damaged.jsonl
bad 2 "'soon' is no time" "$tack" audit show --since soon

# --- rotate: the chain goes on, also after a damage
good 'audit.jsonl is now .*audit.jsonl.000001' "$tack" audit rotate
good '101 lines in 2 files: 101 records right' "$tack" audit verify --head heads.txt
good 'begins with record 100' "$tack" audit verify home/audit.jsonl
sed -i 's/"event":"continue"/"event":"continua"/' home/audit.jsonl
bad 5 'its only record' "$tack" audit head
good 'audit.jsonl is now .*audit.jsonl.000002' "$tack" audit rotate
bad 5 'damaged: 1 damage, the first in line 1 of .*audit.jsonl.000002' "$tack" audit verify
exec 9>home/audit.jsonl.lock
flock 9
bad 5 'is being written by' "$tack" audit rotate
exec 9>&-
: >home/audit.jsonl
bad 5 'no whole record' "$tack" audit head
bad 2 '' "$tack" audit
finish
