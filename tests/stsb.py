#!/usr/bin/env python3
"""Spearman correlation of cosine similarities with the human scores of STS-B:
stsb.py path/to/tack MODEL stsb-en-test.csv (rows: sentence, sentence, score; no header)."""
import csv
import json
import subprocess
import sys


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    out = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for i in order[begin:end]:
            out[i] = (begin + end - 1) / 2
        begin = end
    return out


def pearson(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    cov = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    return cov / (sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)) ** 0.5


tack, model, path = sys.argv[1:4]
rows = list(csv.reader(open(path, encoding="utf-8", newline="")))
texts = [" ".join(text.split()) for row in rows for text in row[:2]]
out = subprocess.run([tack, "embed", model, "-"], input="\n".join(texts) + "\n", text=True,
                     capture_output=True, check=True).stdout
vectors = [json.loads(line) for line in out.splitlines()]
cosine = [sum(x * y for x, y in zip(vectors[i], vectors[i + 1])) for i in range(0, len(vectors), 2)]
print(f"{pearson(ranks(cosine), ranks([float(row[2]) for row in rows])):.5f}")
