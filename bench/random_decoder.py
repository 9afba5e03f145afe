#!/usr/bin/env python3
"""Writes a decoder with random weights: its speed is that of a real one of the same shape.

    bench/random_decoder.py llama-1b q4_0 llama.q4_0.gguf [--head q6_k] [--layers 16] [--vocabulary DIR]

`tack bench` runs it, and so does llama.cpp's llama-bench. It has no vocabulary, only its size, unless
--vocabulary names a directory with encoder.json and vocab.bpe (Llama 3's). Needs numpy.
"""
import argparse
import json
import pathlib
import struct

import numpy as np

# name: ggml's id, values and bytes of a block, where f16 numbers stand in it, what codes reach
TYPES = {
    "f32": (0, 1, 4, (), 1),
    "f16": (1, 1, 2, (), 1),
    "q4_0": (2, 32, 18, (0,), 8),
    "q4_1": (3, 32, 20, (0, 2), 16),
    "q5_0": (6, 32, 22, (0,), 16),
    "q5_1": (7, 32, 24, (0, 2), 16),
    "q8_0": (8, 32, 34, (0,), 127),
    "q2_k": (10, 256, 84, (80, 82), 45),
    "q3_k": (11, 256, 110, (108,), 128),
    "q4_k": (12, 256, 144, (0, 2), 945),
    "q5_k": (13, 256, 176, (0, 2), 945),
    "q6_k": (14, 256, 210, (208,), 4064),
    "iq4_nl": (20, 32, 18, (0,), 127),
    "iq4_xs": (23, 256, 136, (0,), 4064),
}
SHAPES = {
    "llama-1b": dict(arch="llama", d=2048, ff=8192, layers=16, heads=32, kv=8, head=64, vocab=128256),
    "gemma-1b": dict(arch="gemma3", d=1152, ff=6912, layers=26, heads=4, kv=1, head=256, vocab=262144),
}
# Of rows that are no whole blocks, as llama-quantize has it.
INSTEAD = {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}
ALIGNMENT = 32


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        words = isinstance(value[0], str)
        items = b"".join(map(text, value)) if words else struct.pack(f"<{len(value)}i", *value)
        return text(key) + struct.pack("<IIQ", 9, 8 if words else 5, len(value)) + items
    return text(key) + struct.pack("<II", 4, value)


def metadata(shape):
    a = shape["arch"]
    return {
        "general.architecture": a,
        "general.name": "random",
        f"{a}.block_count": shape["layers"],
        f"{a}.context_length": 8192,
        f"{a}.embedding_length": shape["d"],
        f"{a}.feed_forward_length": shape["ff"],
        f"{a}.attention.head_count": shape["heads"],
        f"{a}.attention.head_count_kv": shape["kv"],
        f"{a}.attention.key_length": shape["head"],
        f"{a}.attention.value_length": shape["head"],
        f"{a}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{a}.rope.freq_base": 500000.0,
        f"{a}.vocab_size": shape["vocab"],
        **({f"{a}.rope.dimension_count": shape["head"]} if a == "llama" else {f"{a}.attention.sliding_window": 512}),
        "tokenizer.ggml.model": "no_vocab",
    }


def vocabulary(directory, size):
    """Byte-level BPE as Llama 3 has it, filled up with control tokens, of which the first begins a text."""
    ids = json.loads((directory / "encoder.json").read_text(encoding="utf-8"))
    tokens = sorted(ids, key=ids.get)
    control = [f"<|control_{i}|>" for i in range(size - len(tokens))]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens + control,
        "tokenizer.ggml.token_type": [1] * len(tokens) + [3] * len(control),
        "tokenizer.ggml.merges": (directory / "vocab.bpe").read_text(encoding="utf-8").strip("\n").split("\n"),
        "tokenizer.ggml.bos_token_id": len(tokens),
        "tokenizer.ggml.eos_token_id": len(tokens) + 1,
    }


def tensors(shape, kind, head):
    d, ff, q, kv = shape["d"], shape["ff"], shape["heads"] * shape["head"], shape["kv"] * shape["head"]
    gemma = shape["arch"] == "gemma3"
    yield "token_embd.weight", (shape["vocab"], d), head
    yield "output_norm.weight", (d,), "f32"
    for n in range(shape["layers"]):
        norms = ["attn_norm", "ffn_norm"]
        if gemma:
            norms += ["post_attention_norm", "post_ffw_norm"]
            yield f"blk.{n}.attn_q_norm.weight", (shape["head"],), "f32"
            yield f"blk.{n}.attn_k_norm.weight", (shape["head"],), "f32"
        for name in norms:
            yield f"blk.{n}.{name}.weight", (d,), "f32"
        for name, rows, columns in (("attn_q", q, d), ("attn_k", kv, d), ("attn_v", kv, d),
                                    ("attn_output", d, q), ("ffn_gate", ff, d), ("ffn_up", ff, d),
                                    ("ffn_down", d, ff)):
            yield f"blk.{n}.{name}.weight", (rows, columns), kind


def values(random, dims, kind):
    _, block, size, halves, largest = TYPES[kind]
    count = int(np.prod(dims)) // block
    if kind == "f32":
        return np.ones(count, np.float32).tobytes()
    spread = 3.0 / np.sqrt(dims[-1])
    if kind == "f16":
        return (random.standard_normal(count, np.float32) * spread / 3).astype(np.float16).tobytes()
    blocks = random.integers(0, 256, (count, size), np.uint8)
    for at in halves:
        scale = (random.random(count, np.float32) + 0.5) * spread / largest
        blocks[:, at : at + 2] = scale.astype(np.float16).view(np.uint8).reshape(-1, 2)
    return blocks.tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out")
    parser.add_argument("--head", choices=TYPES, help="type of the embedding, which is the head too")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vocabulary", type=pathlib.Path)
    args = parser.parse_args()
    shape = dict(SHAPES[args.shape])
    if args.layers:
        shape["layers"] = args.layers
    all_tensors = [(name, dims, kind if dims[-1] % TYPES[kind][1] == 0 else INSTEAD.get(kind, "f16"))
                   for name, dims, kind in tensors(shape, args.type, args.head or args.type)]
    pairs = metadata(shape)
    if args.vocabulary:
        pairs |= vocabulary(args.vocabulary, shape["vocab"])
    header = struct.pack("<IIQQ", 0x46554747, 3, len(all_tensors), len(pairs))
    header += b"".join(pair(key, value) for key, value in pairs.items())
    offset = 0
    for name, dims, kind in all_tensors:
        kind_id, block, size, _, _ = TYPES[kind]
        header += text(name) + struct.pack("<I", len(dims))
        header += struct.pack(f"<{len(dims)}Q", *reversed(dims)) + struct.pack("<IQ", kind_id, offset)
        offset += (int(np.prod(dims)) // block * size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    random = np.random.default_rng(1)
    with open(args.out, "wb") as file:
        file.write(header + b"\0" * (-len(header) % ALIGNMENT))
        for _, dims, kind in all_tensors:
            data = values(random, dims, kind)
            file.write(data + b"\0" * (-len(data) % ALIGNMENT))


if __name__ == "__main__":
    main()
