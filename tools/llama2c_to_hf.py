#!/usr/bin/env python3
"""Turns a checkpoint of llama2.c into a directory as Hugging Face transformers writes it, which transformers
and `tack convert` open.

  python3 tools/llama2c_to_hf.py MODEL.bin [--tokenizer tok512.model | tok512.bin] OUT_DIRECTORY

Reads version 0 (no magic number), 1 (f32) and 2 (Q8_0, widened to f32) of llama2.c's export.py. A tokenizer
is SentencePiece's .model or what llama2.c's tokenizer.py writes; without one only token ids go in and out.
Writes config.json, model.safetensors (f32), and with a tokenizer tokenizer.json, tokenizer.model and
tokenizer_config.json. Python's own library is enough.
"""
import argparse
import array
import json
import os
import pathlib
import re
import struct
import sys

MAGIC = 0x616B3432
BOS, EOS = 1, 2
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # SentencePiece's kinds of pieces


class Bad(Exception):
    pass


# --- the checkpoint

def floats(data):
    values = array.array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class Reader:
    def __init__(self, data, at):
        self.data, self.at = data, at

    def take(self, size):
        if self.at + size > len(self.data):
            raise Bad(f"the file ends after {len(self.data)} bytes, tensors need more")
        self.at += size
        return self.data[self.at - size:self.at]

    def f32(self, count):
        return floats(self.take(4 * count))

    def q8(self, count, group):
        values = array.array("b", self.take(count))
        scales = self.f32(count // group)
        return array.array("f", (v * scales[i // group] for i, v in enumerate(values)))


# The matrices of a layer in the order of the file: rows and columns from d, ff, and the width of k and v.
MATRICES = [("self_attn.q_proj", lambda d, ff, kv: (d, d)), ("self_attn.k_proj", lambda d, ff, kv: (kv, d)),
            ("self_attn.v_proj", lambda d, ff, kv: (kv, d)), ("self_attn.o_proj", lambda d, ff, kv: (d, d)),
            ("mlp.gate_proj", lambda d, ff, kv: (ff, d)), ("mlp.down_proj", lambda d, ff, kv: (d, ff)),
            ("mlp.up_proj", lambda d, ff, kv: (ff, d))]


def halves(values, rows, cols, head_dim):
    """llama2.c turns neighbouring rows of a head, transformers the two halves: row i + half comes from 2i + 1."""
    out = array.array("f")
    for head in range(0, rows, head_dim):
        for i in range(head_dim):
            row = head + (2 * i if i < head_dim // 2 else 2 * i + 1 - head_dim)
            out.extend(values[row * cols:(row + 1) * cols])
    return out


def read_checkpoint(data):
    """(config.json, {name: (shape, f32 values)})"""
    version, at = 0, 0
    if len(data) >= 8 and struct.unpack_from("<I", data)[0] == MAGIC:
        version, at = struct.unpack_from("<i", data, 4)[0], 8
        if version not in (1, 2):
            raise Bad(f"version {version} of the format, 0 to 2 are known")
    if len(data) < (28 if version == 0 else 256):
        raise Bad("too short for a checkpoint of llama2.c")
    d, ff, layers, heads, kv_heads, vocab, context = struct.unpack_from("<7i", data, at)
    group = 0
    if version == 0:  # a vocabulary below zero: the output has its own matrix
        tied, vocab, reader = vocab > 0, abs(vocab), Reader(data, 28)
    else:
        tied, reader = data[at + 28] != 0, Reader(data, 256)
        if version == 2:
            group = struct.unpack_from("<i", data, at + 29)[0]
    sizes = (d, ff, layers, heads, kv_heads, vocab, context)
    if min(sizes) < 1 or max(sizes) > 1 << 24 or layers > 512 or d % heads or heads % kv_heads or d // heads % 2:
        raise Bad("no checkpoint of llama2.c: its first numbers are " + ", ".join(map(str, sizes)))
    if version == 2 and (group < 1 or d % group or ff % group):
        raise Bad(f"groups of {group} do not divide {d} and {ff} columns")
    head_dim = d // heads
    tensors = {}

    def norms(name):
        for layer in range(layers):
            tensors[f"model.layers.{layer}.{name}.weight"] = ((d,), reader.f32(d))

    def matrix(name, rows, cols):
        values = reader.q8(rows * cols, group) if version == 2 else reader.f32(rows * cols)
        if name.endswith(("q_proj", "k_proj")):
            values = halves(values, rows, cols, head_dim)
        tensors[name + ".weight"] = ((rows, cols), values)

    def matrices(some):
        for name, shape in some:
            for layer in range(layers):
                matrix(f"model.layers.{layer}.{name}", *shape(d, ff, kv_heads * head_dim))

    def final_norm():
        tensors["model.norm.weight"] = ((d,), reader.f32(d))

    if version == 0:
        matrix("model.embed_tokens", vocab, d)
        norms("input_layernorm")
        matrices(MATRICES[:4])
        norms("post_attention_layernorm")
        matrices(MATRICES[4:])
        final_norm()
        reader.take(4 * context * head_dim)  # tables of sines and cosines, which the formula gives as well
    else:
        norms("input_layernorm")
        norms("post_attention_layernorm")
        final_norm()
        matrix("model.embed_tokens", vocab, d)
        matrices(MATRICES)
    if not tied:
        matrix("lm_head", vocab, d)
    if reader.at != len(data):
        raise Bad(f"{len(data) - reader.at} bytes are left after all tensors")
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": d,
        "intermediate_size": ff, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "max_position_embeddings": context,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": tied,
        "attention_bias": False, "mlp_bias": False, "bos_token_id": BOS, "eos_token_id": EOS,
        "torch_dtype": "float32",
    }, tensors


def safetensors(tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, values) in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + 4 * len(values)]}
        at += 4 * len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    out = bytearray(struct.pack("<Q", len(text)) + text)
    for _, values in tensors.values():
        if sys.byteorder == "big":
            values.byteswap()
        out += values.tobytes()
    return bytes(out)


# --- the tokenizer

def fields(data):
    """(number, value) of a protobuf message; bytes for what is not a varint."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise Bad("the tokenizer is no SentencePiece model")
            value |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or (varint() if key & 7 == 2 else len(data) + 1)
        if at + size > len(data):
            raise Bad("the tokenizer is no SentencePiece model")
        at += size
        yield key >> 3, data[at - size:at]


def read_sentencepiece(data):
    """[(piece, score, kind)]"""
    pieces, model = [], 1
    for number, value in fields(data):
        if number == 1:
            piece = dict(fields(value))
            score = struct.unpack("<f", piece.get(2, bytes(4)))[0]
            pieces.append((piece.get(1, b"").decode(), score, piece.get(3, NORMAL)))
        elif number == 2:
            model = dict(fields(value)).get(3, 1)
    if model != 2:
        raise Bad("the SentencePiece model is not of the kind BPE, as those of Llama are")
    return pieces


def read_llama2c_tokenizer(data):
    """The same from llama2.c's own format, which writes a space for SentencePiece's and lines around <s>."""
    pieces, at = [], 4
    while at < len(data):
        if at + 8 > len(data):
            raise Bad("the tokenizer ends in the middle of a piece")
        score, size = struct.unpack_from("<fi", data, at)
        text, at = data[at + 8:at + 8 + size], at + 8 + size
        if size < 0 or at > len(data):
            raise Bad("the tokenizer ends in the middle of a piece")
        number = len(pieces)
        text = text.decode()
        if number < 3:
            pieces.append((("<unk>", "<s>", "</s>")[number], 0.0, UNKNOWN if number == 0 else CONTROL))
        elif re.fullmatch(r"<0x[0-9A-F]{2}>", text) and number < 259:
            pieces.append((text, score, BYTE))
        else:
            pieces.append((text.replace(" ", "\u2581"), score, NORMAL))
    return pieces


def write_sentencepiece(pieces):
    def varint(value):
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes(out) + bytes([value])

    def message(number, body):
        return varint(number << 3 | 2) + varint(len(body)) + body

    def integer(number, value):
        return varint(number << 3) + varint(value)

    out = b""
    for text, score, kind in pieces:
        out += message(1, message(1, text.encode()) + b"\x15" + struct.pack("<f", score) +
                       (integer(3, kind) if kind != NORMAL else b""))
    has_bytes = any(kind == BYTE for _, _, kind in pieces)
    trainer = integer(3, 2) + integer(4, len(pieces)) + integer(35, 1 if has_bytes else 0)
    # Nothing is normalised but a space in front; runs of spaces stay.
    normalizer = message(1, b"identity") + integer(3, 1) + integer(4, 0)
    return out + message(2, trainer) + message(3, normalizer)


def tokenizer_json(pieces):
    """As transformers converts Llama's SentencePiece: what is merged first has the higher score."""
    ids = {text: i for i, (text, _, _) in enumerate(pieces)}
    normal = {text for text, _, kind in pieces if kind == NORMAL}
    merges = []
    for text, score, kind in pieces:
        if kind != NORMAL:
            continue
        cuts = [(text[:i], text[i:]) for i in range(1, len(text))
                if text[:i] in normal and text[i:] in normal]
        cuts.sort(key=lambda cut: (ids[cut[0]], ids[cut[1]]))
        merges += [(-score, len(merges) + k, cut) for k, cut in enumerate(cuts)]
    special = [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True}
               for i, (text, _, kind) in enumerate(pieces) if kind in (UNKNOWN, CONTROL)]
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, bos, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "ignore_merges": False,
                  "byte_fallback": any(kind == BYTE for _, _, kind in pieces),
                  "vocab": ids, "merges": [list(cut) for _, _, cut in sorted(merges)]},
    }


def read_tokenizer(path):
    """(pieces, tokenizer.model)"""
    data = path.read_bytes()
    try:
        if path.suffix == ".model":
            return read_sentencepiece(data), data
        pieces = read_llama2c_tokenizer(data)
        return pieces, write_sentencepiece(pieces)
    except UnicodeDecodeError:
        raise Bad("a piece of the tokenizer is not UTF-8") from None


def convert(checkpoint, tokenizer, out):
    config, tensors = read_checkpoint(checkpoint.read_bytes())
    files = {"config.json": json.dumps(config, indent=2).encode(), "model.safetensors": safetensors(tensors)}
    if tokenizer is not None:
        pieces, model = read_tokenizer(tokenizer)
        if len(pieces) > config["vocab_size"]:
            raise Bad(f"{tokenizer} has {len(pieces)} pieces, the checkpoint {config['vocab_size']} rows")
        files["tokenizer.model"] = model
        files["tokenizer.json"] = json.dumps(tokenizer_json(pieces), ensure_ascii=False).encode()
        files["tokenizer_config.json"] = json.dumps({
            "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
            "add_bos_token": True, "add_eos_token": False, "legacy": True,
            "model_max_length": config["max_position_embeddings"], "clean_up_tokenization_spaces": False}).encode()
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        temporary = out / (name + ".tmp")
        temporary.write_bytes(data)
        os.replace(temporary, out / name)
    return config, sum(len(values) for _, values in tensors.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path)
    args = parser.parse_args()
    try:
        config, parameters = convert(args.checkpoint, args.tokenizer, args.out)
    except (Bad, OSError) as error:
        sys.exit(f"llama2c_to_hf: {args.checkpoint}: {error}")
    print(f"wrote {args.out}: {config['num_hidden_layers']} layers of {config['hidden_size']}, vocabulary "
          f"{config['vocab_size']}, context {config['max_position_embeddings']}, {parameters} parameters")


if __name__ == "__main__":
    main()
