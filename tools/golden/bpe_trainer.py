"""Writes tests/golden/bpe_trainer.json: the merges that Hugging Face tokenizers' BpeTrainer learns from the
shipped tickets, in order.

    python tools/golden/bpe_trainer.py [TEXT VOCAB]      with TEXT, prints them instead
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).parents[2]


def merges(text, vocab):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def main():
    if len(sys.argv) > 1:
        with open(sys.argv[1], newline="", encoding="utf-8") as file:
            print("\n".join(merges(file.read(), int(sys.argv[2]))))
        return
    # newline="": tickets.csv as it is, byte for byte
    with open(ROOT / "tasks/data/tickets/train.csv", newline="", encoding="utf-8") as file:
        learned = merges(file.read(), 1200)
    path = ROOT / "tests/golden/bpe_trainer.json"
    path.write_text(json.dumps({"vocab": 1200, "merges": learned}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
