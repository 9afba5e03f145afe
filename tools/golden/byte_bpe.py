"""Writes tests/golden/byte_bpe.json: a small byte-level vocabulary trained on the shipped tickets, and
the ids that Hugging Face tokenizers gives lines with it, for each pre-tokenizer's regular expression.

    python tools/golden/byte_bpe.py [LINES]      with LINES, also that many random lines are written
"""
import json
import pathlib
import random
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).parents[2]
EXPRESSIONS = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "tekken": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
PIECES = (
    "a b the The THE HelloWorld camelCaseXML don't DON'T I'll we've 'S it's o'clock 's ' '' 12 12345 ½ ٣٤ Ⅷ "
    "é e\u0301 naïve ǅ ʰª º 東京 ひらがな हिन्दी ไทย עברית العربية 🙂 👩‍👩‍👧 🇩🇪 \u200d \u0301 \u00a0 \u3000 "
    ". , ; ... !? () [] {} <|x|> / // \\ -- _ __ $5.00 50% #a @b & * ~ ` \" “q” €3 © \x00 \x1f"
).split(" ")
SPACES = ["", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", "\r\n", "\t", " \t ", "\u00a0", "\u2003", "\u0085", "/\n"]


def random_line(rng):
    line = ""
    for _ in range(rng.randint(1, 12)):
        line += rng.choice(PIECES) + rng.choice(SPACES)
        if rng.random() < 0.1:
            line += chr(rng.choice([rng.randint(1, 0x2FF), rng.randint(0x300, 0xD7FF), rng.randint(0x10000, 0x1FAFF)]))
    return line


def with_expression(tokenizer, expression):
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(expression), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    return tokenizer


def main():
    tickets = (ROOT / "tasks/data/tickets/train.csv").read_text().splitlines()
    tokenizer = with_expression(Tokenizer(models.BPE()), EXPRESSIONS["gpt-2"])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(tickets, trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    rng = random.Random(1)
    lines = tickets[1:12] + ["", " ", "\n", "x" * 200, "  " * 40 + "y", "\n" * 50, "ab" * 300, "Ünï" * 30]
    lines += [random_line(rng) for _ in range(120)]
    model = json.loads(tokenizer.to_str())["model"]
    out = {
        "tokens": sorted(model["vocab"], key=model["vocab"].get),
        "merges": [" ".join(m) if isinstance(m, list) else m for m in model["merges"]],
        "lines": lines,
        "ids": {name: [with_expression(tokenizer, e).encode(line).ids for line in lines]
                for name, e in EXPRESSIONS.items()},
    }
    (ROOT / "tests/golden/byte_bpe.json").write_text(json.dumps(out, separators=(",", ":")))
    if len(sys.argv) > 1:
        more = [random_line(rng) for _ in range(int(sys.argv[1]))]
        out["lines"], out["ids"] = more, {
            name: [e.ids for e in with_expression(tokenizer, x).encode_batch(more)]
            for name, x in EXPRESSIONS.items()}
        pathlib.Path("byte_bpe.random.json").write_text(json.dumps(out, separators=(",", ":")))


if __name__ == "__main__":
    main()
