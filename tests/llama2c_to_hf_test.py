#!/usr/bin/env python3
"""tools/llama2c_to_hf.py on small checkpoints made here: every version of the format, and bad files."""
import array
import json
import pathlib
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import llama2c_to_hf as tool

D, FF, LAYERS, HEADS, KV, VOCAB, CONTEXT = 8, 16, 2, 2, 1, 5, 6
SHAPES = {"q": (D, D), "k": (D // 2, D), "v": (D // 2, D), "o": (D, D), "gate": (FF, D), "down": (D, FF), "up": (FF, D)}


def made_up(seed, count):
    """Numbers that Q8_0 with groups of 8 keeps: integers whose largest in a group is 127."""
    return [127.0 if i % 8 == 0 else float((seed * 31 + i * 17) % 101 - 50) for i in range(count)]


WEIGHTS = {(name, layer): made_up(i * LAYERS + layer, r * c)
           for i, (name, (r, c)) in enumerate(SHAPES.items()) for layer in range(LAYERS)}
TABLE, OUTPUT = made_up(90, VOCAB * D), made_up(91, VOCAB * D)
NORMS = [made_up(100 + i, D) for i in range(2 * LAYERS + 1)]


def f32(values):
    return array.array("f", values).tobytes()


def q8(values):
    return bytes(int(v) & 255 for v in values) + f32([1.0] * (len(values) // 8))


def checkpoint(version, tied=True):
    numbers = (D, FF, LAYERS, HEADS, KV, VOCAB if tied or version else -VOCAB, CONTEXT)
    weight = q8 if version == 2 else f32
    layers = {name: b"".join(weight(WEIGHTS[name, layer]) for layer in range(LAYERS)) for name in SHAPES}
    norms = [f32(n) for n in NORMS]
    head = b"" if tied else weight(OUTPUT)
    if version == 0:
        tables = f32([0.5] * (CONTEXT * (D // HEADS)))
        return (struct.pack("<7i", *numbers) + weight(TABLE) + norms[0] + norms[1] +
                b"".join(layers[n] for n in "qkvo") + norms[2] + norms[3] +
                b"".join(layers[n] for n in ("gate", "down", "up")) + norms[4] + tables + head)
    start = struct.pack("<Ii7iB", 0x616B3432, version, *numbers, tied) + struct.pack("<i", 8)
    return (start.ljust(256, b"\0") + b"".join(norms) + weight(TABLE) + b"".join(layers.values()) + head)


class Llama2c(unittest.TestCase):
    def test_all_versions_are_the_same_model(self):
        for tied in (True, False):
            expected = tool.read_checkpoint(checkpoint(0, tied))
            for version in (1, 2):
                self.assertEqual(tool.read_checkpoint(checkpoint(version, tied)), expected)
            self.assertEqual(expected[0]["tie_word_embeddings"], tied)
            self.assertEqual("lm_head.weight" in expected[1], not tied)

    def test_rows_of_heads_come_in_halves(self):
        _, tensors = tool.read_checkpoint(checkpoint(0))
        shape, values = tensors["model.layers.1.self_attn.q_proj.weight"]
        self.assertEqual(shape, (D, D))
        rows = [WEIGHTS["q", 1][r * D:(r + 1) * D] for r in (0, 2, 1, 3, 4, 6, 5, 7)]  # two heads of four
        self.assertEqual(list(values), sum(rows, []))
        self.assertEqual(list(tensors["model.layers.1.mlp.down_proj.weight"][1]), WEIGHTS["down", 1])

    def test_bad_files(self):
        good = checkpoint(0)
        for data in (b"", good[:20], good[:-1], good + b"x", b"\0" * 64, struct.pack("<Ii", 0x616B3432, 3) + good,
                     struct.pack("<7i", D, FF, LAYERS, 3, KV, VOCAB, CONTEXT) + good[28:]):
            with self.assertRaises(tool.Bad):
                tool.read_checkpoint(data)

    def test_tokenizers(self):
        pieces = [("<unk>", 0.0, tool.UNKNOWN), ("<s>", 0.0, tool.CONTROL), ("</s>", 0.0, tool.CONTROL),
                  ("<0x0A>", 0.0, tool.BYTE), ("a\u2581", -1.0, tool.NORMAL), ("\u2581", -2.0, tool.NORMAL),
                  ("a", -3.0, tool.NORMAL)]
        self.assertEqual(tool.read_sentencepiece(tool.write_sentencepiece(pieces)), pieces)
        theirs = struct.pack("<i", 6)
        for text, score, _ in pieces:
            text = {"<s>": "\n<s>\n", "</s>": "\n</s>\n"}.get(text, text.replace("\u2581", " ")).encode()
            theirs += struct.pack("<fi", score, len(text)) + text
        self.assertEqual(tool.read_llama2c_tokenizer(theirs), pieces)
        self.assertEqual(tool.tokenizer_json(pieces)["model"]["merges"], [["a", "\u2581"]])
        for data in (b"\x0a\xff", b"\xff" * 20, theirs):
            with self.assertRaises(tool.Bad):
                tool.read_sentencepiece(data)

    def test_written_files(self):
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch)
            (path / "m.bin").write_bytes(checkpoint(0))
            tool.convert(path / "m.bin", None, path / "out")
            self.assertEqual(sorted(f.name for f in (path / "out").iterdir()), ["config.json", "model.safetensors"])
            data = (path / "out/model.safetensors").read_bytes()
            size = struct.unpack_from("<Q", data)[0]
            entry = json.loads(data[8:8 + size])["model.embed_tokens.weight"]
            begin, end = (8 + size + at for at in entry["data_offsets"])
            self.assertEqual(data[begin:end], f32(TABLE))


if __name__ == "__main__":
    unittest.main()
