"""Writes a decoder of random weights as a Hugging Face directory: config.json, model.safetensors and a
byte-level tokenizer.json that knows the 256 bytes.

    python3 tests/tiny_decoder.py OUT_DIRECTORY [--width 256] [--context 256] [--spoil NAME VALUE]

--spoil puts a value (nan, 1e30) into the tensor of that name. Python's own library is enough.
"""
import argparse
import array
import json
import pathlib
import random
import struct
import sys

parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--width", type=int, default=256)
parser.add_argument("--context", type=int, default=256)
parser.add_argument("--spoil", nargs=2)
options = parser.parse_args()

d, ff, layers, heads, kv_heads, vocab = options.width, 288, 2, 4, 2, 258
kv = d // heads * kv_heads
rng = random.Random(1)
tensors = {}


def matrix(name, rows, cols):
    scale = cols ** -0.5
    tensors[name] = ([rows, cols], array.array("f", (rng.gauss(0, scale) for _ in range(rows * cols))))


def vector(name):
    tensors[name] = ([d], array.array("f", (1 + rng.gauss(0, 0.05) for _ in range(d))))


matrix("model.embed_tokens.weight", vocab, d)
for layer in range(layers):
    at = f"model.layers.{layer}."
    vector(at + "input_layernorm.weight")
    vector(at + "post_attention_layernorm.weight")
    for name, rows, cols in (("self_attn.q_proj", d, d), ("self_attn.k_proj", kv, d),
                             ("self_attn.v_proj", kv, d), ("self_attn.o_proj", d, d),
                             ("mlp.gate_proj", ff, d), ("mlp.up_proj", ff, d), ("mlp.down_proj", d, ff)):
        matrix(at + name + ".weight", rows, cols)
vector("model.norm.weight")
matrix("lm_head.weight", vocab, d)
if options.spoil:
    tensors[options.spoil[0]][1][5] = float(options.spoil[1])

header, at = {}, 0
for name, (shape, values) in tensors.items():
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * len(values)]}
    at += 4 * len(values)
text = json.dumps(header).encode()
options.out.mkdir(parents=True, exist_ok=True)
with open(options.out / "model.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for _, values in tensors.values():
        if sys.byteorder == "big":
            values.byteswap()
        file.write(values.tobytes())

(options.out / "config.json").write_text(json.dumps({
    "model_type": "llama", "vocab_size": vocab, "hidden_size": d, "intermediate_size": ff,
    "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
    "max_position_embeddings": options.context, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "tie_word_embeddings": False, "bos_token_id": 256, "eos_token_id": 257}))

# GPT-2's letters for bytes: printable ones stand for themselves, the rest for what follows U+0100.
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
letters, more = {}, 256
for byte in range(256):
    letters[byte] = chr(byte if byte in printable else more)
    more += byte not in printable
special = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
(options.out / "tokenizer.json").write_text(json.dumps({
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
    "added_tokens": [{"id": 256, "content": "<s>", **special}, {"id": 257, "content": "</s>", **special}],
    "pre_tokenizer": level, "decoder": level,
    "post_processor": {"type": "TemplateProcessing", "pair": [],
                       "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                  {"Sequence": {"id": "A", "type_id": 0}}],
                       "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}}},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
              "vocab": {letter: byte for byte, letter in letters.items()}, "merges": []}}))
(options.out / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
