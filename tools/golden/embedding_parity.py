#!/usr/bin/env python3
"""Cosine of `tack embed` to the reference (transformers, f32, mean pooling, L2) on real sentences.

  python3 embedding_parity.py --tack build/tack --hf DIR --data ../shared/data f32.gguf int8.gguf ...

1,000 sentences: the first 500 of STS-B's test file and the first 500 of BANKING77's. Each model file is
run at every level of kernels the processor has; levels are also compared with each other.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess

import numpy as np


def reference(directory, lines):
    import torch
    from transformers import AutoModel, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained(directory), AutoModel.from_pretrained(directory).eval()
    out = []
    for begin in range(0, len(lines), 32):
        batch = tokenizer(lines[begin:begin + 32], padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        out.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy())
    return np.concatenate(out).astype(np.float64)


def ours(tack, model, lines, isa):
    run = subprocess.run([tack, "embed", model, "-"], input="\n".join(lines) + "\n", capture_output=True, text=True,
                         env={**os.environ, "TACK_ISA": isa}, check=False)
    if run.returncode == 2:  # the processor lacks this level
        return None
    run.check_returncode()
    vectors = np.array([json.loads(line) for line in run.stdout.splitlines()])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tack", required=True)
parser.add_argument("--hf", required=True)
parser.add_argument("--data", type=pathlib.Path, required=True)
parser.add_argument("models", nargs="+")
args = parser.parse_args()

with (args.data / "stsb/stsb-en-test.csv").open(encoding="utf-8", newline="") as file:
    lines = [row[0] for row in list(csv.reader(file))[:500]]
with (args.data / "banking77/test.csv").open(encoding="utf-8", newline="") as file:
    lines += [row["text"] for row in list(csv.DictReader(file))[:500]]
lines = [" ".join(line.split()) for line in lines]
expected = reference(args.hf, lines)
for model in args.models:
    levels = {isa: v for isa in ("scalar", "avx2", "avx512") if (v := ours(args.tack, model, lines, isa)) is not None}
    for isa, vectors in levels.items():
        cosine = (vectors * expected).sum(1)
        print(f"{pathlib.Path(model).name} {isa}: {len(lines)} sentences, cosine to the reference least {cosine.min():.6f}, "
              f"mean {cosine.mean():.6f}, below 0.995: {(cosine < 0.995).sum()}")
    names = list(levels)
    for a, b in zip(names, names[1:]):
        print(f"{pathlib.Path(model).name} {a} and {b}: least cosine {(levels[a] * levels[b]).sum(1).min():.8f}")
