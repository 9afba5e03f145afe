#!/usr/bin/env python3
"""Exact match and F1 of answers by SQuAD's official script, for eval/answer_metrics.

  python3 answer_metrics.py --official evaluate-v2.0.py     # not part of the repository

Writes tests/golden/answers.jsonl: answers put together from words, articles, punctuation and white space
of many kinds, their gold answers, and what the script's functions make of them.
"""
import argparse
import importlib.util
import json
import pathlib
import random

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--official", required=True)
args = parser.parse_args()
spec = importlib.util.spec_from_file_location("official", args.official)
official = importlib.util.module_from_spec(spec)
spec.loader.exec_module(official)

PIECES = ["the", "The", "a", "A", "an", "AN", "theatre", "cat", "Cat", "dog", "New", "York", "1973", "October", "$12", "3.5",
          "u.s.", "naïve", "NAÏVE", "Zürich", "ZÜRICH", "Ünal", "東京", "ΣΟΦΟΣ", "а", "½", "²", "x_y", "l’été", "cafe\u0301",
          "a\u0301", "–", "—", "“", "”", "…", "-", ",", ".", "!", "(", ")", "'s", "\"", "`", "~", "€", "°", "·", "🙂"]
GAPS = [" ", " ", " ", "  ", "", "", "\n", "\t", "\u00a0", "\u2003", "\u3000", "\u200b", "\x1f", "\u0085"]
rng = random.Random(1)


def text(pieces):
    out = ""
    for piece in pieces:
        out += piece + rng.choice(GAPS)
    return out


path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/answers.jsonl"
with open(path, "w", encoding="utf-8") as file:
    for _ in range(600):
        said = rng.choices(PIECES, k=rng.randint(0, 6))
        gold = []
        for _ in range(rng.randint(0, 3)):
            # Most share words with what was said.
            pieces = [p for p in said if rng.random() < 0.8] + rng.choices(PIECES, k=rng.randint(0, 2))
            rng.random() < 0.2 and rng.shuffle(pieces)
            gold.append(text(pieces))
        said = text(said)
        # As the script: what normalises to nothing is no answer.
        real = [g for g in gold if official.normalize_answer(g)] or [""]
        file.write(json.dumps({"said": said, "gold": gold,
                               "exact": max(official.compute_exact(g, said) for g in real),
                               "f1": max(official.compute_f1(g, said) for g in real)}, ensure_ascii=False) + "\n")
