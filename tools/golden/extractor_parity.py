#!/usr/bin/env python3
"""A random-weight BertForQuestionAnswering against transformers.

  python3 extractor_parity.py --tack build/tack --hf DIR      # DIR: for its tokenizer

The best answer that is made of whole words, at most 30 tokens long, and its probability among the words of
the context and [CLS] must agree, on contexts of one window.
"""
import argparse
import json
import subprocess
import tempfile

import torch
from transformers import AutoTokenizer, BertConfig, BertForQuestionAnswering

ROWS = [("Who wrote it?", "The book, by Zoë Müller (1931–2004), was a success: 3,000 copies."),
        ("When?", "In 1973, the oil crisis began; prices rose to nearly $12 a barrel."),
        ("where is it", "東京 is large. It lies in Japan's east, unaffordable for many."),
        ("What is the longest of all of the rivers?", "x"),
        ("Why?", " ".join(f"sentence {i} says something unremarkable." for i in range(18)))]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tack", required=True)
parser.add_argument("--hf", required=True)
args = parser.parse_args()
tokenizer = AutoTokenizer.from_pretrained(args.hf)
torch.manual_seed(1)


def best(model, question, context):
    batch = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = batch.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        out = model(**batch)
    # Words as the pre-tokenizer cuts them.
    words = {}
    for t, (side, word) in enumerate(zip(batch.sequence_ids(0), batch.word_ids(0))):
        if side == 1:
            words.setdefault(word, []).append(t)
    words = list(words.values())
    starts = torch.log_softmax(out.start_logits[0].double()[[0] + [w[0] for w in words]], 0)
    ends = torch.log_softmax(out.end_logits[0].double()[[0] + [w[-1] for w in words]], 0)
    score, i, j = max((float(starts[i + 1] + ends[j + 1]), i, j) for i in range(len(words))
                      for j in range(i, len(words)) if i == j or words[j][-1] - words[i][0] < 30)
    return offsets[words[i][0]][0], offsets[words[j][-1]][1], torch.tensor(score).exp().item()


failed = False
with tempfile.TemporaryDirectory() as path:
    model = BertForQuestionAnswering(BertConfig(vocab_size=30522, hidden_size=128, num_hidden_layers=3,
                                                num_attention_heads=4, intermediate_size=512, initializer_range=0.2)).eval()
    torch.nn.init.normal_(model.qa_outputs.bias, 0, 1)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    subprocess.run([args.tack, "convert", path, f"{path}/m.gguf", "--type", "f32"], check=True, capture_output=True)
    rows = "".join(json.dumps({"question": q, "context": c}) + "\n" for q, c in ROWS)
    out = subprocess.run([args.tack, "extract", f"{path}/m.gguf", "--json"], input=rows, capture_output=True, text=True, check=True)
    worst = 0
    for (question, context), line in zip(ROWS, out.stdout.splitlines(), strict=True):
        ours, (start, end, probability) = json.loads(line), best(model, question, context)
        same = (ours["start"], ours["end"]) == (start, end) and ours["answer"] == context[start:end]
        failed |= not same
        if not same:
            print(f"differs: {ours} against {start}, {end}: {context[start:end]}")
        worst = max(worst, abs(ours["probability"] - probability))
    failed |= worst > 1e-4
    print(f"{len(ROWS)} answers, largest difference of a probability {worst:.2e}")
raise SystemExit(int(failed))
