"""Writes tests/golden/blocks.json: blocks of random bytes of each GGUF type (hex) and what the
reference package `gguf` reads from them, as the bits of f32 (hex).

    python tools/golden/blocks.py        (needs: pip install gguf)
"""
import json
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

# Where the f16 scales stand: random bytes there could be infinite.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0],
}
rng = np.random.default_rng(7)
out = {}
for name, offsets in SCALES.items():
    kind = Type[name]
    elements, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (3 if elements == 32 else 2, size), dtype=np.uint8)
    for offset in offsets:
        scales = (rng.standard_normal(len(blocks)) / 64).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    values = dequantize(blocks, kind).astype("<f4")
    out[name.lower()] = {"blocks": blocks.tobytes().hex(), "values": values.tobytes().hex()}
path = pathlib.Path(__file__).parents[2] / "tests/golden/blocks.json"
path.write_text(json.dumps(out))
