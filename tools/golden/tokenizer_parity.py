#!/usr/bin/env python3
"""Compares `tack tokenize` with the reference of each decoder's tokenizer on many real and adversarial lines:
ids, and that decoding them gives the line back.

  python3 tokenizer_parity.py --tack build/tack --data ../shared/data --work DIR [--lines 100000] [--only NAME...]

Needs the Python packages tokenizers, sentencepiece, mistral_common and tiktoken. In DIR go the lines and the
vocabularies made here: two SentencePiece models (Gemma's options, and a unigram model with nmt_nfkc), and
tokenizer.json files of GPT-2's vocabulary with the words of Llama 3 and Qwen 2. Exit code 1 when any line differs.
"""
import argparse
import base64
import json
import os
import pathlib
import random
import subprocess
import sys
import time

from byte_bpe import EXPRESSIONS, PIECES, SPACES

ROOT = pathlib.Path(__file__).parents[2]
WORDS = PIECES + (
    "naïve Café ÅNGSTRÖM straße İstanbul ΣΊΣΥΦΟΣ Привет 東京タワー 你好世界 안녕하세요 שלום مرحبا हिन्दी ภาษาไทย 👩‍👩‍👧‍👦 🇩🇪 👍🏽 "
    "ﬁne ① ㎏ 'ſ 'S don'T \u200b \ufeff \u00ad \u2028 \x85 \x0b \x7f \ufffd \ue000 \U00020000 <s> </s> <unk> [INST] "
    "[/INST] <|endoftext|> <|begin_of_text|> <|eot_id|> <|im_start|> <|im_ <s </s <0x0A> <0x41> [TOOL_CALLS] "
    "<bos> <start_of_turn> ▁ ▁▁ a▁b \t\t \n\n").split(" ")


def real_lines(data, rng):
    lines = []
    for name in ("wikitext2/*", "tinystories_2mb/*", "banking77/train.csv", "imdb_unsup/unsup.txt",
                 "davidson/*.csv", "restaurant8k/*train*", "aci_bench/**/*.csv", "tokenizers/*/*.inp"):
        for path in sorted(data.glob(name)):
            if path.name != "SOURCE.txt":
                text = path.read_bytes()[:12_000_000].decode("utf-8", "replace")
                lines += [line[:2000] for line in text.split("\n") if line.strip()]
    rng.shuffle(lines)
    return lines


def character(rng):
    return chr(rng.choice([rng.randint(0, 0x7F), rng.randint(0x80, 0x2FF), rng.randint(0x300, 0xD7FF),
                           rng.randint(0xE000, 0xFFFF), rng.randint(0x10000, 0x1FAFF), rng.randint(0x20000, 0x10FFFF)]))


def adversarial_line(rng):
    kind = rng.randrange(7)
    if kind == 0:  # any code points
        return "".join(character(rng) for _ in range(rng.randrange(1, 60)))
    if kind == 1:  # words and odd spaces
        return "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(rng.randrange(1, 16)))
    if kind == 2:  # long runs
        return "".join(rng.choice(WORDS + SPACES) * rng.randrange(1, 80) for _ in range(rng.randrange(1, 4)))[:3000]
    if kind == 3:  # emoji sequences
        return "".join(rng.choice("👩👨👧👦🏳🇩🇪👍❤🔥1") + rng.choice(["\u200d", "\ufe0f", "\U0001f3fd", "", " ", "\u20e3"])
                       for _ in range(rng.randrange(1, 30)))
    if kind == 4:  # control and format characters between letters
        return "".join(rng.choice("abc '") + chr(rng.choice([rng.randrange(0, 32), rng.randrange(0x7F, 0xA1),
                       rng.randrange(0x2000, 0x2070)])) for _ in range(rng.randrange(1, 40)))
    if kind == 5:  # near special tokens
        return "".join(rng.choice("<|>[]/sINSTendoftext_ 0xA41") for _ in range(rng.randrange(1, 60)))
    return "".join(rng.choice("aAeEzZ0 19.'\n\r\té東Я") for _ in range(rng.randrange(1, 80)))


def all_lines(data, count):
    rng = random.Random(1)
    lines = real_lines(data, rng)[:count // 2]
    lines += ["a" * 100_000, " " * 100_000, "ab" * 50_000, "\n" * 20_000, "é" * 20_000]
    lines += [adversarial_line(rng) for _ in range(count - len(lines))]
    return [line.encode("utf-8", "replace").decode() for line in lines]


def tack(args, model, lines, *options):
    """What `tack tokenize` prints for each of the lines, and the seconds it took."""
    path = args.work / "lines.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps({"text": line}, ensure_ascii=False) + "\n")
    begin = time.time()
    out = subprocess.run([args.tack, "tokenize", str(model), str(path), "--json", *options], check=True,
                         capture_output=True)
    seconds = time.time() - begin
    return [json.loads(line) for line in out.stdout.split(b"\n")[:-1]], seconds


def compare(args, name, model, lines, expected, special=False, lossless=True, drop=0):
    """expected: ids of each line, without `drop` tokens in front."""
    got, seconds = tack(args, model, lines, *(["--special"] if special else []))
    ours = [row["ids"] for row in got]
    wrong = [i for i in range(len(lines)) if ours[i][drop:] != expected[i]]
    for i in wrong[:5]:
        first = next((k for k, (a, b) in enumerate(zip(ours[i][drop:], expected[i])) if a != b), 0)
        print(f"  {name} line {i}: {lines[i][:200]!r}\n    from token {first}: reference {expected[i][first:first + 12]}\n"
              f"    ours {ours[i][drop:][first:first + 12]}")
    lost = 0
    if lossless:
        texts, _ = tack(args, model, [" ".join(map(str, ids)) for ids in ours], "--decode")
        back = [i for i in range(len(lines)) if texts[i]["text"] != lossless(lines[i])]
        lost = len(back)
        for i in back[:5]:
            print(f"  {name} line {i} comes back otherwise: {lines[i][:80]!r} {texts[i]['text'][:80]!r}")
    print(f"{name}: {len(lines)} lines, {sum(map(len, expected))} tokens: {len(wrong)} differ"
          + (f", {lost} not given back" if lossless else "") + f" ({seconds:.1f} s)", flush=True)
    return not wrong and not lost


def same(line):
    return line


def spaces(line):  # U+2581 is a space to SentencePiece
    return line.replace("\u2581", " ")


def huggingface(path, plain=True):
    from tokenizers import Tokenizer
    file = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    for token in file["added_tokens"]:  # Phi 3's is none
        token["special"] |= token["content"] == "</s>"
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.encode_special_tokens = plain  # what encode() of ours does: special tokens are text
    return tokenizer


def check_huggingface(args, name, path, lines, lossless=same):
    """As plain text, and with the special tokens that the lines spell out."""
    plain = huggingface(path)
    begins = len(huggingface(path, False).encode("").ids)
    ok = compare(args, name, path, lines, [e.ids for e in plain.encode_batch(lines, add_special_tokens=False)],
                 lossless=lossless, drop=begins)
    parsed = huggingface(path, False)
    expected = [e.ids for e in parsed.encode_batch(lines, add_special_tokens=False)]
    first = parsed.encode("").ids
    expected = [ids if first and ids[:1] == first else first + ids for ids in expected]
    return compare(args, name + ", special tokens", path, lines, expected, special=True, lossless=False) and ok


def with_words(args, name, expression, **model):
    """GPT-2's vocabulary with other words, as a tokenizer.json."""
    file = json.loads((args.data / "tokenizers/hf_json/gpt2.tokenizer.json").read_text(encoding="utf-8"))
    file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    file["model"] |= model
    file["normalizer"] = {"type": "NFC"} if name == "qwen2" else None
    path = args.work / f"{name}.json"
    path.write_text(json.dumps(file))
    return path


def llama3_json(args):
    """Llama 3.2's vocabulary and merges as a tokenizer.json."""
    folder = args.data / "tokenizers/llama3_2_ollama"
    merges = [m for m in (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n") if m and not m.startswith("#version")]
    vocab = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    added = [{"id": len(vocab) + i, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, name in enumerate(names)]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": names[0], "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {names[0]: {"id": names[0], "ids": [len(vocab)], "tokens": [names[0]]}}}
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": EXPRESSIONS["llama-bpe"]}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
            "post_processor": template, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                      "vocab": vocab, "merges": merges}}
    path = args.work / "llama3.json"
    path.write_text(json.dumps(file))
    return path


def train(args, name, size, **options):
    """A SentencePiece model, trained on real lines unless it is there already."""
    import sentencepiece
    path = args.work / f"{name}.model"
    if not path.exists():
        rng = random.Random(2)
        text = args.work / "train.txt"
        text.write_text("\n".join(line.replace("\x00", " ")[:1000] for line in real_lines(args.data, rng)[:40000]), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(args.work / name), vocab_size=size,
                                                 minloglevel=2, **options)
    return path


GEMMA = dict(model_type="bpe", byte_fallback=True, add_dummy_prefix=False, split_digits=True,
             remove_extra_whitespaces=False, normalization_rule_name="identity", character_coverage=0.9995,
             user_defined_symbols=["\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "<start_of_image>", "<table>", "</table>", "\t\t"],
             allow_whitespace_only_pieces=True, num_threads=2)
UNIGRAM = dict(model_type="unigram", byte_fallback=True, num_threads=2)


def gemma_json(args):
    """The trained model as the tokenizer.json that transformers would make of it (GemmaConverter)."""
    from sentencepiece import sentencepiece_model_pb2
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(train(args, "gemma", 8000, **GEMMA).read_bytes())
    vocab = {p.piece: i for i, p in enumerate(model.pieces)}
    merging = {p.piece: p.score for p in model.pieces if p.type in (1, 4)}
    merges = sorted(((-score, len(t[:k]), t[:k], t[k:]) for t, score in merging.items() for k in range(1, len(t))
                     if t[:k] in merging and t[k:] in merging), key=lambda m: (m[0], -m[1]))
    file = {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": p.piece, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": p.type != 4}
                             for i, p in enumerate(model.pieces) if p.type in (2, 3, 4)],
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                               {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                               {"Sequence": {"id": "B", "type_id": 1}}],
                               "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": None,
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": vocab, "merges": [[left, right] for _, _, left, right in merges]}}
    path = args.work / "gemma.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    return path


def check_sentencepiece(args, name, path, lines, lossless=spaces, frame=(1, 0)):
    import sentencepiece
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    expected = reference.encode(lines)
    begins = [reference.bos_id()] * frame[0]
    ends = [reference.eos_id()] * frame[1]
    return compare(args, name, path, lines, [begins + ids + ends for ids in expected], lossless=lossless)


def check_tekken(args, lines):
    import mistral_common
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer
    path = pathlib.Path(mistral_common.__file__).parent / "data/tekken_240911.json"
    reference = Tekkenizer.from_file(path)
    return compare(args, "tekken", path, lines, [reference.encode(line, bos=True, eos=False) for line in lines], lossless=same)


def check_tiktoken(args, lines):
    import tiktoken
    path = args.data / "tokenizers/llama3/llama3.tokenizer.model"
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in path.read_text().splitlines() if line)}
    reference = tiktoken.Encoding("llama3", pat_str=EXPRESSIONS["llama-bpe"], mergeable_ranks=ranks, special_tokens={})
    return compare(args, "llama3 (tiktoken)", path, lines, [reference.encode_ordinary(line) for line in lines],
                   lossless=same, drop=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tack", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    args.work.mkdir(parents=True, exist_ok=True)
    lines = all_lines(args.data, args.lines)
    hf, spm = args.data / "tokenizers/hf_json", args.data / "tokenizers/mistral_spm"
    composed = lambda line: __import__("unicodedata").normalize("NFC", line)
    checks = {
        "gpt2": lambda: check_huggingface(args, "gpt2", hf / "gpt2.tokenizer.json", lines),
        "llama3": lambda: check_huggingface(args, "llama3", llama3_json(args), lines),
        "tiktoken": lambda: check_tiktoken(args, lines),
        "qwen2": lambda: check_huggingface(args, "qwen2", with_words(args, "qwen2", EXPRESSIONS["qwen2"]), lines, composed),
        "tekken": lambda: check_tekken(args, lines),
        "llama2": lambda: check_huggingface(args, "llama2 (tokenizer.json)", hf / "llama2-tiny-random.tokenizer.json", lines, spaces),
        "phi3": lambda: check_huggingface(args, "phi3 (tokenizer.json)", hf / "phi3.tokenizer.json", lines, spaces),
        "gemma": lambda: check_sentencepiece(args, "gemma's options", train(args, "gemma", 8000, **GEMMA), lines),
        "gemma.json": lambda: check_huggingface(args, "gemma's options (tokenizer.json)", gemma_json(args), lines, spaces),
        "unigram": lambda: check_sentencepiece(args, "unigram, nmt_nfkc", train(args, "unigram", 8000, **UNIGRAM), lines, False, (0, 1)),
    }
    for path in sorted(spm.glob("*.model*")):
        checks[path.name] = lambda path=path: check_sentencepiece(args, path.name, path, lines)
    ok = True
    for name, check in checks.items():
        if not args.only or name in args.only:
            ok = check() and ok
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
