"""Writes tests/golden/sentencepiece.json: two small SentencePiece models trained on the shipped tickets, a BPE
with Gemma's options and a unigram one, and the ids that the reference gives lines with them.

    python tools/golden/sentencepiece_pieces.py
"""
import json
import pathlib
import random
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from byte_bpe import ROOT, random_line

KINDS = {
    "bpe": dict(model_type="bpe", vocab_size=560, byte_fallback=True, add_dummy_prefix=False, split_digits=True,
                remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
                user_defined_symbols=["\n\n", "\u2581\u2581", "\u2581\u2581\u2581", "<table>"]),
    "unigram": dict(model_type="unigram", vocab_size=520, byte_fallback=True, user_defined_symbols=["<table>"]),
}


def main():
    tickets = (ROOT / "tasks/data/tickets/train.csv").read_text().splitlines()
    rng = random.Random(3)
    lines = tickets[1:8] + ["", " ", "  two  spaces ", "\n\n\n", "a\n\nb", "x<table>y", "a" * 100, " " * 70, "\u2581"]
    lines += [random_line(rng) for _ in range(60)]
    out = {"lines": lines}
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "text"
        text.write_text("\n".join(tickets))
        for name, options in KINDS.items():
            sentencepiece.SentencePieceTrainer.train(
                input=str(text), model_prefix=f"{folder}/{name}", normalization_rule_name="identity",
                minloglevel=2, **options)
            model = sentencepiece_model_pb2.ModelProto()
            model.ParseFromString(pathlib.Path(f"{folder}/{name}.model").read_bytes())
            reference = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/{name}.model")
            out[name] = {"pieces": [[p.piece, p.score, p.type] for p in model.pieces],
                         "ids": [reference.encode(line) for line in lines]}
    (ROOT / "tests/golden/sentencepiece.json").write_text(json.dumps(out, separators=(",", ":")))


if __name__ == "__main__":
    main()
