"""Writes small whole files of tokenizers into a folder, as fuzz_tokenizer_files reads them: python3 tokenizer_seeds.py DIR"""
import base64
import json
import pathlib
import struct
import sys

EXPRESSION = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
              r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
              r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
LETTERS = [chr(b) for b in PRINTABLE] + [chr(256 + i) for i in range(256 - len(PRINTABLE))]
SPECIAL = [{"id": 300, "content": "<s>", "special": True, "rstrip": True}, {"id": 301, "content": "<b>", "special": False}]


def field(number, value):
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    if isinstance(value, int):
        return bytes([number << 3 & 0x7F | 0x80 * (number > 15)] + [number >> 4] * (number > 15) + [value])
    return bytes([number << 3 | 2, len(value)]) + value


def tokenizer_model(kind):
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<b>", 0.0, 4), ("\u2581", -3.0, 1), ("a", -4.0, 1),
              ("b", -5.0, 1), ("ab", -1.0, 1), ("\u2581ab", -2.0, 1)]
    out = b"".join(field(1, field(1, t.encode()) + field(2, s) + field(3, k)) for t, s, k in pieces)
    return out + field(2, field(3, kind) + field(40, 0) + field(41, 1) + field(42, 2)) + field(3, field(3, 1) + field(4, 0))


def main():
    folder = pathlib.Path(sys.argv[1])
    byte_level = {"added_tokens": SPECIAL, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
                  "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(LETTERS + ["ab"])}, "merges": ["a b"]}}
    merges = {"added_tokens": SPECIAL, "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
              "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "merges": [["a", "b"]],
                        "vocab": {"<unk>": 0, "\u2581": 1, "a": 2, "b": 3, "ab": 4}}}
    unigram = {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"},
               "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["\u2581", -2.5], ["a", -3], ["\u2581a", -1]]}}
    tekken = {"config": {"pattern": EXPRESSION, "default_vocab_size": 260, "default_num_special_tokens": 3},
              "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode()}
                        for i, t in enumerate([bytes([b]) for b in range(256)] + [b"ab"])]}
    for name, kind, data in [("byte_level", 0, byte_level), ("merges", 0, merges), ("unigram", 0, unigram), ("tekken", 2, tekken)]:
        (folder / name).write_bytes(bytes([kind]) + json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())
    for kind in (1, 2):
        (folder / f"model{kind}").write_bytes(b"\1" + tokenizer_model(kind))
    (folder / "ranks").write_bytes(b"\1YQ== 0\nYg== 1\n")


if __name__ == "__main__":
    main()
