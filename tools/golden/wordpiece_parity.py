#!/usr/bin/env python3
"""Compares `tack tokenize` with Hugging Face `tokenizers` on many real and adversarial lines.

  python3 wordpiece_parity.py --tack build/tack --model models/all-minilm-l6-v2.int8.gguf \
      --tokenizer DIR/tokenizer.json --data ../shared/data --lines 100000

Needs the Python package `tokenizers`. --golden FILE also writes a small sample, with the ids that
the reference gives, for the unit test. Exit code 1 when any line differs.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

WORDS = ("naïve Café ÅNGSTRÖM straße İstanbul ΣΊΣΥΦΟΣ Привет МИР 東京タワー 你好世界 안녕하세요 שלום مرحبا हिन्दी "
         "ภาษาไทย 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ﬁne ① ㎏ ½ e\u0301 A\u030a \u1e9e don't U.S.A. a-b_c x/y 3.14 1,000 $5 50% "
         "C++ #tag @you http://a.b/c?d=e [CLS] [SEP] [MASK] [PAD] [UNK] [cls] ##ing \u200b\u200d\ufeff "
         "\u00ad \u2028 \u3000 \u00a0 \x85 \x0b \x0c \x07 \x7f \ufffd \ue000 \U0001f9ff \U00020000 "
         "supercalifragilisticexpialidocious").split(" ")


def real_lines(data: pathlib.Path, rng: random.Random) -> list[str]:
    lines = []
    for name in ("banking77/train.csv", "imdb_unsup/unsup.txt", "wnut17/*", "tokenizers/*/*.inp",
                 "davidson/*.csv", "stsb/*.csv", "squad/*.json"):
        for path in sorted(data.glob(name)):
            text = path.read_bytes()[:12_000_000].decode("utf-8", "replace")
            lines += [line[:2000] for line in text.replace("\r", "\n").split("\n") if line.strip()]
    rng.shuffle(lines)
    return lines


def adversarial_line(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:  # any code points
        return "".join(chr(rng.choice((rng.randrange(32, 0x3000), rng.randrange(0x3000, 0xd800),
                                       rng.randrange(0xe000, 0x30000)))) for _ in range(rng.randrange(1, 60)))
    if kind == 1:  # words glued with odd separators
        return rng.choice(("", " ", "\u00a0", "\u200d", "\t", "-")).join(rng.choices(WORDS, k=rng.randrange(1, 20)))
    if kind == 2:  # around the longest word
        return "".join(rng.choice("abcxyzé東") for _ in range(rng.randrange(95, 106)))
    if kind == 3:  # combining marks on letters
        return "".join(rng.choice("aeiouAEIOUαВ") + "".join(chr(rng.randrange(0x300, 0x370))
                       for _ in range(rng.randrange(3))) for _ in range(rng.randrange(1, 30)))
    if kind == 4:  # control and format characters between letters
        return "".join(rng.choice("abc ") + chr(rng.choice((rng.randrange(1, 32), rng.randrange(0x7f, 0xa1),
                       rng.randrange(0x2000, 0x2070)))) for _ in range(rng.randrange(1, 40)))
    return "".join(rng.choice("[]CLSEPMASKUN## ") for _ in range(rng.randrange(1, 60)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tack", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--golden", type=pathlib.Path)
    args = parser.parse_args()
    from tokenizers import Tokenizer
    reference = Tokenizer.from_file(args.tokenizer)
    reference.no_truncation()
    reference.no_padding()
    rng = random.Random(1)
    half = args.lines // 2
    lines = real_lines(args.data, rng)[:half]
    lines += [adversarial_line(rng) for _ in range(args.lines - len(lines))]
    lines = [line.replace("\n", " ").replace("\r", " ").encode("utf-8", "ignore").decode() for line in lines]
    expected = [e.ids for e in reference.encode_batch(lines)]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n", suffix=".txt") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        out = subprocess.run([args.tack, "tokenize", args.model, file.name], check=True, capture_output=True, text=True)
    ours = [[int(i) for i in line.split()] for line in out.stdout.split("\n")[:-1]]
    if len(ours) != len(lines):
        print(f"{len(ours)} results for {len(lines)} lines")
        return 1
    wrong = [i for i in range(len(lines)) if ours[i] != expected[i]]
    for i in wrong[:10]:
        print(f"line {i}: {lines[i]!r}\n  reference {expected[i]}\n  ours      {ours[i]}")
    print(f"{len(lines)} lines ({half} real), {sum(map(len, expected))} tokens: {len(wrong)} differ")
    if args.golden:
        sample = [i for i in range(half, len(lines)) if len(lines[i]) < 200][:400]
        with args.golden.open("w", encoding="utf-8") as file:
            for i in sample:
                file.write(json.dumps({"text": lines[i], "ids": expected[i]}, ensure_ascii=True) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
