#!/usr/bin/env bash
# Extractors from outside: questions about a context, some without an answer, taught and resumed.
#   tests/span_test.sh path/to/tack
. "$(dirname "$0")/checks.sh"

awk 'BEGIN {
  split("rome paris oslo lima cairo delhi quito sofia", city); split("baker doctor farmer pilot", job)
  split("anna peter maria karl", name)
  for (i = 0; i < 96; ++i) {
    n = name[i % 4 + 1]; c = city[int(i / 4) % 8 + 1]; j = job[int(i / 3) % 4 + 1]
    text = n " lives in " c " and works there as a " j " every day"
    if (i % 3 == 0) printf "{\"context\":\"%s\",\"question\":\"Where does %s live?\",\"answers\":[{\"text\":\"%s\",\"start\":%d}]}\n", text, n, c, index(text, c) - 1
    if (i % 3 == 1) printf "{\"context\":\"%s\",\"question\":\"What is the job?\",\"answers\":[{\"text\":\"%s\",\"start\":%d}]}\n", text, j, index(text, j) - 1
    if (i % 3 == 2) printf "{\"context\":\"%s\",\"question\":\"How old is the king?\"}\n", text
  }
}' >questions.jsonl
grep answers questions.jsonl >answered.jsonl
cat >span.toml <<EOF
[task]
kind = "span"
[data]
train = "questions.jsonl"
[train]
method = "full"
epochs = 8
batch = 8
rate = 5e-4
head_rate = 10
checkpoint_seconds = 0
[student]
layers = 2
[gate]
floor = 0.5
EOF
good '[0-9]+ training questions about .* have no answer.*no answer below a margin.*exact match .*without, refused.*gate passed.*wrote' \
  one_line "$tack" build span.toml -o span.gguf --html span.html
good 'without an answer, refused' one_line cat span.html
page='anna lives in rome and works there as a pilot every day'
good '^rome	' sh -c "echo '$page' | $tack extract span.gguf -q 'Where does anna live?'"
good '^\(no answer\)	' sh -c "echo '$page' | $tack extract span.gguf -q 'How old is the king?'"
good '"answer":"rome","start":14,"end":18,' sh -c "echo '$page' >page.txt; $tack extract span.gguf -q 'Where does anna live?' --context-file page.txt --json"
good '"windows":[2-9]' sh -c "(seq 300; echo '$page') | $tack extract span.gguf -q 'Where does anna live?' --json"
good '"answer":null' "$tack" extract span.gguf answered.jsonl --json --threshold 1e9
good 'exact match .*F1 .*without, refused' one_line "$tack" eval span.gguf questions.jsonl
good '"f1"' "$tack" eval span.gguf answered.jsonl --json
good 'exact match .* on [0-9]+ questions' "$tack" show span.gguf
answers() { "$tack" extract "$@" | cut -f 1; }
for flags in '--batch 1' '--threads 1'; do
  same "extract $flags" "$(answers span.gguf questions.jsonl $flags)" "$(answers span.gguf questions.jsonl)"
done
good 'F1' "$tack" build span.toml -o spanl.gguf --set train.method=lora --set train.epochs=1 --set gate.floor=0 --set data.limit=40
{ cat span.toml; printf '[teacher]\nepochs = 2\nrate = 5e-4\n'; } >span2.toml
good 'teacher: .*teacher .*student ' one_line "$tack" build span2.toml -o span2.gguf --set student.layers=1 --set train.epochs=2 --set gate.floor=0
killed_at_checkpoint spank.gguf.checkpoint "$tack" build span.toml -o spank.gguf
good 'continued from a checkpoint' "$tack" build span.toml -o spank.gguf
spans() { "$tack" extract "$1" questions.jsonl --json | sha256sum; }
same "a killed training of an extractor ended elsewhere" "$(spans spank.gguf)" "$(spans span.gguf)"
"$tack" serve span.gguf --port 0 2>log & server=$!
for _ in $(seq 200); do url=$(sed -n 's/^listening on \(http:[^ ]*\) .*/\1/p' log); [ -n "$url" ] && break; sleep 0.05; done
asked="{\"input\":[{\"question\":\"Where does anna live?\",\"context\":\"$page\"},{\"question\":\"How old is the king?\",\"context\":\"$page\"}]}"
good '"answer":"rome","start":14,"end":18,.*"object":"answer".*"answer":null' curl -sS --max-time 20 -d "$asked" "$url/v1/extract"
good '"param":"context"' curl -sS --max-time 20 -d '{"question":"x"}' "$url/v1/extract"
good 'cannot classify' curl -sS --max-time 20 -d "{\"input\":\"x\",\"model\":\"span\"}" "$url/v1/classify"
{ kill $server; wait $server; } 2>/dev/null
bad 2 'answers no questions' sh -c "echo x | $tack extract $base -q x"
bad 2 'goes with --question' "$tack" extract span.gguf --context-file page.txt
bad 2 'needs \[train\] method' "$tack" build span.toml -o x.gguf --set train.method=head
bad 2 'length is 300, but .* takes 256' "$tack" build span.toml -o x.gguf --set train.length=300
bad 2 "unknown key 'label'" "$tack" build span.toml -o x.gguf --set data.label=x
bad 2 'only kind = "span"' "$tack" build span.toml -o x.gguf --set task.kind=classify --set train.length=128
printf '{"context":"to Rome","question":"where?","answers":[{"text":"Paris","start":3}]}\n' >false.jsonl
bad 1 "false.jsonl: line 1: at character 3 the context has 'Rome'" "$tack" build span.toml -o x.gguf --set data.train=false.jsonl
finish
