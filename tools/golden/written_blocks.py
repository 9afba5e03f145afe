"""Writes tests/golden/written_blocks.json: values (bits of f32, hex) and the blocks that reference
implementations make of them (hex). Q4_0 to Q8_0: the package `gguf`. Those whose errors ours must not
exceed, with and without importance of columns: the C code of ggml, as a shared library.

    python tools/golden/written_blocks.py libggml-base.so       (needs: pip install gguf)
"""
import ctypes
import json
import os
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quantize

rng = np.random.default_rng(11)


def plain():
    rows = [rng.standard_normal(32) * scale for scale in (1.0, 0.02, 1e-5, 300.0)]
    rows.append(np.zeros(32))
    rows.append(np.full(32, 0.25))  # no range
    rows.append(np.full(32, -0.25))
    rows.append(np.abs(rng.standard_normal(32)))
    rows.append(-np.abs(rng.standard_normal(32)))
    rows.append((np.arange(32) - 16) / 4)  # ties, and two values furthest from zero
    rows.append((np.arange(32) - 15.5) / 8)
    rows.append(np.where(np.arange(32) == 7, 50.0, rng.standard_normal(32)))  # an outlier
    rows.append(rng.standard_normal(32) * 1e-7)  # scales that f16 rounds to zero, or nearly
    rows.append(rng.standard_normal(32) * 1e-9)
    rows.append(np.linspace(-60000, 60000, 32))
    return np.array(rows, dtype=np.float32)


def searched():
    rows = [rng.standard_normal(256), rng.standard_t(3, 256) / 64, np.abs(rng.standard_normal(256)),
            rng.standard_normal(256) * np.repeat(np.exp(rng.standard_normal(8)), 32),
            rng.uniform(-1, 1, 256) / 1000, rng.standard_normal(256) / 50 + 0.05,
            np.where(rng.uniform(size=256) < 0.02, 8.0, 1.0) * rng.standard_normal(256)]
    return np.array(rows, dtype=np.float32)


def ggml_blocks(library, name, values):
    elements, size = GGML_QUANT_SIZES[Type[name.upper()]]
    out = np.zeros(values.size // elements * size, np.uint8)
    getattr(library, f"quantize_row_{name}_ref")(
        values.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(values.size))
    return out


def weighted_blocks(library, name, values, importance):
    elements, size = GGML_QUANT_SIZES[Type[name.upper()]]
    out = np.zeros(values.size // elements * size, np.uint8)
    quantize_rows = getattr(library, f"quantize_{name}")
    quantize_rows.restype = ctypes.c_size_t
    quantize_rows(values.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
                  ctypes.c_int64(values.shape[0]), ctypes.c_int64(values.shape[1]),
                  importance.ctypes.data_as(ctypes.c_void_p))
    return out


def entry(values, blocks):
    return {"values": values.astype("<f4").tobytes().hex(),
            "blocks": {name.lower(): bytes_.tobytes().hex() for name, bytes_ in blocks.items()}}


library = ctypes.CDLL(sys.argv[1], mode=os.RTLD_LAZY)
values, wide = plain(), searched()
importance = np.exp(1.5 * rng.standard_normal(256)).astype("<f4")  # of every row's columns
out = {
    "plain": entry(values, {name: quantize(values, Type[name])
                            for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")}),
    "searched": entry(wide, {name: ggml_blocks(library, name, wide)
                             for name in ("q2_K", "q3_K", "q4_K", "q5_K", "q6_K", "iq4_nl",
                                          "iq4_xs")}),
    "weighted": entry(wide, {name: weighted_blocks(library, name, wide, importance)
                             for name in ("q4_0", "q4_1", "q5_0", "q5_1", "q2_K", "q3_K", "q4_K",
                                          "q5_K", "q6_K", "iq4_nl", "iq4_xs")}),
}
out["weighted"]["importance"] = importance.tobytes().hex()
path = pathlib.Path(__file__).parents[2] / "tests/golden/written_blocks.json"
path.write_text(json.dumps(out))
