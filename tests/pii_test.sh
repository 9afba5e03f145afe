#!/usr/bin/env bash
# `tack pii` from outside.
#   tests/pii_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

cat >letter.txt <<'END'
Dear Jo,
écrivez à jo.doe@example.com or call +44 20 7946 0958. IBAN: DE89 3704 0044 0532 0130 00.
My e-mail is jo.doe@example.com; <EMAIL_1> is what I typed. Password: hunter2!x
END

# --- scan
good '^2:11 EMAIL_ADDRESS 1.00$' "$tack" pii scan letter.txt
good '^2:38 PHONE_NUMBER 0.95$' "$tack" pii scan letter.txt
good '^2:62 IBAN_CODE 1.00 DE89 3704 0044 0532 0130 00$' "$tack" pii scan letter.txt --show
good '"IBAN_CODE": 1' "$tack" pii scan letter.txt --json
good '"line": 3' "$tack" pii scan letter.txt --json --entities PASSWORD
same 'values are hidden' "$("$tack" pii scan letter.txt | grep -c 'jo.doe')" 0
same 'only what is wanted' "$("$tack" pii scan letter.txt --entities IBAN_CODE,PASSWORD | wc -l)" 2
same 'only what is sure' "$("$tack" pii scan letter.txt --min-score 1 | wc -l)" 3
same 'from standard input' "$("$tack" pii scan - <letter.txt)" "$("$tack" pii scan letter.txt)"
bad 5 'letter.txt: found 2 EMAIL_ADDRESS, 1 IBAN_CODE, 1 PASSWORD, 1 PHONE_NUMBER' "$tack" pii scan letter.txt --fail
echo nothing here >empty.txt
checks=$((checks + 1)); "$tack" pii scan empty.txt --fail || fail "nothing is no reason to fail"
same 'nothing found' "$("$tack" pii scan empty.txt)" ''
bad 2 "there is no entity 'EMAIL'" "$tack" pii scan letter.txt --entities EMAIL
bad 2 "did you mean 'IBAN_CODE'" "$tack" pii scan letter.txt --entities IBAN_COD
bad 3 'none.txt' "$tack" pii scan none.txt
bad 2 'min-score' "$tack" pii scan letter.txt --min-score 2
good 'CREDIT_CARD' "$tack" pii entities
good '"by_model": true' "$tack" pii entities --json

# --- mask and unmask
good '^My e-mail is <EMAIL_2>; <EMAIL_1> is what I typed. Password: <PASSWORD_1>$' "$tack" pii mask letter.txt
"$tack" pii mask letter.txt --vault v.json -o masked.txt || fail "mask"
same 'rights of the vault' "$(stat -c %a v.json)" 600
same 'nothing left' "$(grep -cE 'jo.doe|7946|3704|hunter' masked.txt)" 0
"$tack" pii unmask masked.txt --vault v.json -o back.txt || fail "unmask"
checks=$((checks + 1)); cmp -s letter.txt back.txt || fail "unmask gave other bytes"
# A second text with the same vault: known values keep their pseudonyms, new ones go on.
echo 'jo.doe@example.com and new@example.com' >second.txt
same 'goes on' "$("$tack" pii mask second.txt --vault v.json)" '<EMAIL_2> and <EMAIL_3>'
same 'both are in it' "$("$tack" pii mask second.txt --vault v.json | "$tack" pii unmask --vault v.json)" "$(cat second.txt)"
# Any bytes come back.
head -c 300000 /dev/urandom >random.bin
cat letter.txt >>random.bin
"$tack" pii mask random.bin --vault r.json -o random.masked || fail "mask of any bytes"
"$tack" pii unmask random.masked --vault r.json -o random.back || fail "unmask of any bytes"
checks=$((checks + 1)); cmp -s random.bin random.back || fail "any bytes: unmask gave other bytes"

bad 2 'vault' "$tack" pii unmask masked.txt
bad 3 'none.json' "$tack" pii unmask masked.txt --vault none.json
echo '{"format": "tack-vault", "values": [{"entity": "EMAIL_ADDRESS", "pseudonym": "<EMAIL_1>"}]}' >broken.json
bad 1 'broken.json: value 1: "value" is missing' "$tack" pii unmask masked.txt --vault broken.json
echo '{"format": "tack-vault", "values": [{"entity": "E", "pseudonym": "x", "value": "y"}]}' >broken.json
bad 1 "broken.json: value 1: 'x' is no pseudonym" "$tack" pii unmask masked.txt --vault broken.json
echo '[1]' >broken.json
bad 1 'broken.json: this is no vault' "$tack" pii mask letter.txt --vault broken.json
echo '{' >broken.json
bad 1 'broken.json' "$tack" pii mask letter.txt --vault broken.json
same 'a broken vault stays as it is' "$(cat broken.json)" '{'
bad 1 'none/v.json' "$tack" pii mask letter.txt --vault none/v.json

# --- eval, on texts whose labels the generator knows
python3 "$root/bench/pii/corpus.py" corpus --texts 200 --things 500 >/dev/null || fail "corpus.py"
good '^IBAN_CODE +[0-9]+ +[0-9]+ +[0-9]+ +1.0000 +1.0000' "$tack" pii eval corpus/dev.jsonl
good '"recall": ' "$tack" pii eval corpus/dev.jsonl corpus/dev_things.jsonl --json
printf '{"text":"é a@b.de","spans":[{"start":2,"end":8,"label":"EMAIL_ADDRESS"}]}\n' >one.jsonl
good '^EMAIL_ADDRESS +1 +1 +1 +1.0000' "$tack" pii eval one.jsonl
printf '{"text":"a","spans":[{"start":0,"end":2,"label":"X"}]}\n' >one.jsonl
bad 1 'one.jsonl: line 1: a span from 0 to 2 in a text of 1' "$tack" pii eval one.jsonl
finish
