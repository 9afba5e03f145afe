#!/usr/bin/env bash
# `tack route` from outside, on made-up logs.   tests/route_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

# A third of the prompts is hard for "small"; "middle" lies between. Some proofs are long.
python3 - <<'END'
import json, random
random.seed(1)
def row(i):
    hard = random.random() < 1 / 3
    text = f"Prove by induction that claim {i} holds" if hard else f"Where is parcel number {i}?"
    right = lambda p: random.random() < p
    return {"prompt": text, "small": right(.2 if hard else .9), "large": right(.9),
            "middle": round(random.uniform(.4, .8), 3) if hard else 0.9, "coin": random.random()}
rows = [row(i) for i in range(2000)]
with open("logs.jsonl", "w") as out:
    out.writelines(json.dumps(r) + "\n" for r in rows)
with open("logs.csv", "w") as out:
    out.write("question,cheap one,large\n")
    out.writelines(f'"{r["prompt"]}",{r["small"]},{"right" if r["large"] else "wrong"}\n' for r in rows[:400])
END
pair="--weak small --strong large --encoder none --trees 30 --leaf-rows 20"

# --- training, and what it says
good 'held-back rows prove at 95 % that at least 9[0-9.]+ % of the quality of large is kept' \
  "$tack" route train --data logs.jsonl $pair --target-quality 0.9 -o r.gguf
good 'APGR 0\.[78]' "$tack" route eval --router r.gguf --data logs.jsonl
good '^router of 2 models, reads words' "$tack" show r.gguf
good '"points"' "$tack" show r.gguf --json
good '"sha256"' "$tack" route train --data logs.jsonl $pair -o again.gguf --json
good 'APGR' "$tack" route train --data logs.csv --text question --column 'small=cheap one' $pair -o csv.gguf
good 'do not prove at 99.9 % that 100 % .* more rows, or a lower --target-quality' \
  "$tack" route train --data logs.csv --column 'small=cheap one' $pair --target-quality 1 --confidence 0.999 -o none.gguf
good 'large +100.0 % of calls' "$tack" route eval --router none.gguf --data logs.jsonl
# The same seed gives the same file, on any number of threads.
"$tack" route train --data logs.jsonl $pair -o one.gguf -t 1 >/dev/null 2>&1
"$tack" route train --data logs.jsonl $pair -o two.gguf -t 2 >/dev/null 2>&1
same "scores of routers of one seed" "$("$tack" route eval --router one.gguf --data logs.jsonl | grep -v decision)" \
  "$("$tack" route eval --router two.gguf --data logs.jsonl | grep -v decision)"

# --- another target, on rows of its own, without training
good 'prove at 90 %' "$tack" route calibrate --router r.gguf --data logs.csv --column 'small=cheap one' --confidence 0.9 --target-quality 0.8 -o c.gguf
good 'large +2[0-9]\.[0-9] % of calls' "$tack" route eval --router r.gguf --data logs.jsonl --strong-share 0.25
good '80 % kept in (1[0-9]|20) of 20' "$tack" route eval --router r.gguf --data logs.jsonl --resplits 20 --target-quality 0.8
good 'within two points of it in' "$tack" route eval --router r.gguf --data logs.jsonl --resplits 20 --strong-share 0.3

# --- measured without a router, beside another's scores, as a page
good 'against +APGR 0\.[45]' "$tack" route eval --cross-fit 3 --data logs.jsonl $pair --against coin --scores s.jsonl --html p.html
same "rows foretold" "$(wc -l <s.jsonl)" 2000
good '<polyline' cat p.html
good '"apgr"' "$tack" route eval --router r.gguf --data logs.jsonl --json

# --- more than two models
good 'middle +[0-9.]+ % of calls' "$tack" route train --data logs.jsonl --models small,middle,large --strong large \
  --price small=0.1:0.1,middle=0.5:0.5,large=2:8 --encoder none --trees 30 --leaf-rows 20 -o three.gguf
bad 2 '3 models need a price each' "$tack" route train --data logs.jsonl --models small,middle,large --encoder none -o x.gguf
bad 2 'price: large has none' "$tack" route train --data logs.jsonl --models small,middle,large --price small=1,middle=2 --encoder none -o x.gguf

# --- why
good '^asks large: .*is above' "$tack" route explain "Prove by induction that claim 7 holds" --router r.gguf
good "^asks small: " "$tack" route explain "Where is parcel number 7?" --router r.gguf
good "its words: '" "$tack" route explain "Prove by induction that claim 7 holds" --router r.gguf
good '"model": "large"' "$tack" route explain "Prove by induction that claim 7 holds" --router r.gguf --json

# --- with the encoder
if [ -f "$base" ]; then
  head -n 400 logs.jsonl >few.jsonl
  good 'with the encoder' "$tack" route train --data few.jsonl --weak small --strong large --trees 20 --leaf-rows 20 --target-quality 0.8 -o e.gguf
  good 'what it is about' "$tack" route explain "Prove that claim 7 holds" --router e.gguf
  bad 2 'it cannot do with none' "$tack" route explain "x" --router e.gguf --encoder none
  bad 2 "was trained with the encoder 'all-minilm-l6-v2.*banking-intent.* is another" \
    "$tack" route explain "x" --router e.gguf --encoder banking-intent
fi

# --- bad input: one line that says where and what
bad 2 "no key 'huge'; it has: prompt, small, large" "$tack" route train --data logs.jsonl --weak small --strong huge --encoder none -o x.gguf
bad 2 'no such model; did you mean .*small' "$tack" route train --data logs.jsonl $pair --column smal=small -o x.gguf
bad 2 'two models at least' "$tack" route train --data logs.jsonl --weak small --encoder none -o x.gguf
printf 'prompt,small,large\na,1,0\nb,,1\n' >gap.csv
bad 1 'gap.csv line 3: small: there is no value' "$tack" route train --data gap.csv $pair -o x.gguf
printf 'prompt,small,large\na,1,7\n' >seven.csv
bad 1 "seven.csv line 2: large: '7' is neither right or wrong" "$tack" route train --data seven.csv $pair -o x.gguf
head -n 40 logs.jsonl >short.jsonl
bad 2 'rows to (train|calibrate) on are too few' "$tack" route train --data short.jsonl $pair -o x.gguf
bad 3 'none.jsonl' "$tack" route train --data none.jsonl $pair -o x.gguf
bad 3 'none.gguf.*No such file|nowhere' "$tack" route explain x --router nowhere.gguf
bad 1 'no router \(it has no tack.router\)' "$tack" route explain x --router "$base"
head -c 3000 r.gguf >cut.gguf
bad 1 'cut.gguf' "$tack" route explain x --router cut.gguf
bad 2 'what is to be measured' "$tack" route eval --data logs.jsonl
finish
