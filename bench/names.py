#!/usr/bin/env python3
"""Measures the tagger of names (tasks/names.toml, rows of tools/name_sets.py).

    bench/names.py SETS MODEL [--tests] [--tack build/tack]

Without --tests: the development rows, and what it finds in texts with few names, the 8,580 test queries of BANKING77
and CLINC150 and WikiText-2, with the commonest. With --tests also WNUT 17's test and the test half of bench/pii: once.
Prints precision, recall and F1 of each name with 95 % intervals (bootstrap over texts), and how much of the personal
data's characters are covered whatever the kind, which is what masking needs.
"""
import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import guard_sources  # noqa: E402
from prepare_sets import DATA  # noqa: E402

KINDS = ("person", "organization", "location")


def tag(options, texts):
    """The spans of each text, and texts a second."""
    start = time.monotonic()
    said = subprocess.run([options.tack, "tag", options.model, "-", "--json", "-t", str(options.threads), "--format", "jsonl",
                           "--text", "text"], input="".join(json.dumps({"text": text}) + "\n" for text in texts),
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line)["spans"] for line in said.splitlines()], len(texts) / (time.monotonic() - start)


def ratios(counts):
    right, found, labelled = counts
    precision, recall = right / max(found, 1), right / max(labelled, 1)
    return precision, recall, 2 * right / max(found + labelled, 1)


def measured(pairs, draws=1000):
    """'P [low, high] ...' of (right, found, labelled) counts, one a text."""
    generator, some = random.Random(1), []
    for _ in range(draws):
        drawn = generator.choices(pairs, k=len(pairs))
        some.append(ratios([sum(column) for column in zip(*drawn)]))
    cells = []
    for value, drawn in zip(ratios([sum(column) for column in zip(*pairs)]), zip(*some)):
        drawn = sorted(drawn)
        cells.append(f"{100 * value:.1f} [{100 * drawn[int(draws * .025)]:.1f}, {100 * drawn[int(draws * .975)]:.1f}]")
    return " | ".join(cells)


def key(span):
    return span["start"], span["end"], span.get("label", span.get("name"))


def score(options, path):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found, speed = tag(options, [row["text"] for row in rows])
    print(f"\n{path.name}: {len(rows)} texts, {speed:.0f} texts/s\n\n"
          "| | labelled | precision | recall | F1 |\n|---|---|---|---|---|")
    for kind in (*KINDS, None):
        pairs = []
        for row, spans in zip(rows, found, strict=True):
            gold = {key(span) for span in row["spans"] if kind in (None, span["label"])}
            mine = {key(span) for span in spans if kind in (None, key(span)[2])}
            pairs.append((len(gold & mine), len(mine), len(gold)))
        print(f"| {kind or 'all'} | {sum(pair[2] for pair in pairs)} | {measured(pairs)} |")
    covered = []
    for row, spans in zip(rows, found):
        gold, mine = ({at for span in some for at in range(span["start"], span["end"])} for some in (row["spans"], spans))
        covered.append((len(gold & mine), len(mine), len(gold)))
    print(f"| characters, any kind | {sum(pair[2] for pair in covered)} | {measured(covered)} |")


def count(options, name, texts):
    found, speed = tag(options, texts)
    spans = [(text[span["start"]:span["end"]].lower(), key(span)[2]) for text, some in zip(texts, found) for span in some]
    words = sum(len(text.split()) for text in texts)
    kinds = collections.Counter(kind for _, kind in spans)
    print(f"\n{name}: {len(texts)} texts, {words} words, {speed:.0f} texts/s; {len(spans)} spans in {sum(map(bool, found))} "
          f"texts, {1000 * len(spans) / words:.2f} per 1,000 words ({dict(kinds)})")
    print("  " + ", ".join(f"{text} ({kind[0]}) {times}" for (text, kind), times in
                           collections.Counter(spans).most_common(options.show)))
    for text, span in random.Random(1).sample([(text, span) for text, some in zip(texts, found) for span in some], options.sample):
        start, end, kind = key(span)
        print(f"  {text[max(0, start - 40):start]}[{text[start:end]}]({kind}){text[end:end + 40]}")


def pieces(text, most=80):
    words = text.split()
    return [" ".join(words[at:at + most]) for at in range(0, len(words), most)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=pathlib.Path)
    parser.add_argument("model")
    parser.add_argument("--tests", action="store_true")
    parser.add_argument("--tack", default=str(ROOT / "build/tack"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=60, help="how many of the commonest spans are listed")
    parser.add_argument("--sample", type=int, default=0, help="how many are shown in their text, to judge by eye")
    options = parser.parse_args()
    score(options, options.sets / "names/dev.jsonl")
    count(options, "BANKING77 and CLINC150, test queries", [text for text, *_ in guard_sources.tests()["queries"]])
    wiki = (DATA / "wikitext2/test.txt").read_text(encoding="utf-8")
    count(options, "WikiText-2, test", [piece for line in wiki.split("\n") for piece in pieces(line)])
    if options.tests:  # once
        for name in ("wnut17", "generator"):
            score(options, options.sets / f"names/tests/{name}.jsonl")


if __name__ == "__main__":
    main()
