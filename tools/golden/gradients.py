"""Writes src/train/golden/gradients.json: the graphs of src/train/tape_test.cc in PyTorch (f64),
with their weights and the gradients of sum(sin(1 + 1.7 i) * output_i); and losses.json: losses of
src/train/losses.h on random rows, with their gradients.

    python tools/golden/gradients.py
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
STARTS = [0, 4, 5, 11]


def weight(shape, scale=None, offset=0.0):
    scale = scale or (1 / math.sqrt(shape[1]) if len(shape) == 2 else 0.3)
    # Rounded, so that the file and f32 hold the same numbers.
    w = (scale * torch.randn(shape) + offset).float().double()
    return w.requires_grad_()


def loss(output):
    i = torch.arange(output.numel(), dtype=torch.float64)
    return (torch.sin(1 + 1.7 * i).float().double() * output.reshape(-1)).sum()


def encoder(w, ids, types):
    hidden, pooled = [], []
    for a, b in zip(STARTS, STARTS[1:]):
        x = w["tokens"][ids[a:b]] + w["types"][types[a:b]] + w["positions"][: b - a]

        def norm(x, name):
            return F.layer_norm(x, (20,), w[name + "norm"], w[name + ".beta"], 1e-6)

        def linear(x, name):
            return F.linear(x, w[name], w[name + ".bias"])

        x = norm(x, "first")
        q, k, v = (linear(x, n).view(b - a, 2, 10).transpose(0, 1) for n in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v, scale=0.30000001192092896)
        x = norm(linear(mixed.transpose(0, 1).reshape(b - a, 20), "out") + x, "second")
        x = norm(linear(F.gelu(linear(x, "up")), "down") + x, "third")
        hidden.append(x)
        pooled.append(F.normalize(x.mean(0), dim=0))
    logits = F.linear(torch.stack(pooled), w["head"], w["head.bias"])
    return [torch.cat(hidden), logits]


def decoder(w, ids, _types):
    out = []
    frequency = torch.tensor([1.0, 0.4, 0.05], dtype=torch.float32).double()
    for a, b in zip(STARTS, STARTS[1:]):
        n = b - a
        angle = torch.arange(n, dtype=torch.float64)[:, None] * frequency

        def rope(x):  # [n, heads, 6], pairs (2i, 2i + 1)
            even, odd = x[..., 0::2], x[..., 1::2]
            c, s = angle.cos()[:, None], angle.sin()[:, None]
            return torch.stack([even * c - odd * s, even * s + odd * c], -1).reshape(x.shape)

        def norm(x, name):
            return F.rms_norm(x, (16,), w[name], 1e-5)

        x = w["tokens"][ids[a:b]]
        h = norm(x, "first.norm")
        q = rope(F.linear(h, w["q"]).view(n, 4, 6)).transpose(0, 1)
        k = rope(F.linear(h, w["k"]).view(n, 2, 6)).transpose(0, 1).repeat_interleave(2, 0)
        v = F.linear(h, w["v"]).view(n, 2, 6).transpose(0, 1).repeat_interleave(2, 0)
        i, j = torch.arange(n)[:, None], torch.arange(n)[None]
        mask = (j <= i) & (i - j < 3)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.4000000059604645)
        x = x + F.linear(mixed.transpose(0, 1).reshape(n, 24), w["out"])
        h = norm(x, "second.norm")
        gated = F.silu(F.linear(h, w["gate"])) * F.linear(h, w["up"])
        out.append(F.linear(x + F.linear(gated, w["down"]), w["tokens"]))
    return [torch.cat(out)]


ENCODER = {"tokens": (11, 20), "types": (2, 20), "positions": (16, 20)}
for name in ("q", "k", "v", "out"):
    ENCODER |= {name: (20, 20), name + ".bias": (20,)}
ENCODER |= {"up": (28, 20), "up.bias": (28,), "down": (20, 28), "down.bias": (20,)}
ENCODER |= {"head": (5, 20), "head.bias": (5,)}
for name in ("first", "second", "third"):
    ENCODER |= {name + "norm": (20,), name + ".beta": (20,)}
DECODER = {"tokens": (11, 16), "first.norm": (16,), "second.norm": (16,), "q": (24, 16),
           "k": (12, 16), "v": (12, 16), "out": (16, 24), "gate": (20, 16), "up": (20, 16),
           "down": (16, 20)}

golden = {}
for name, shapes, model in (("encoder", ENCODER, encoder), ("decoder", DECODER, decoder)):
    w = {k: weight(s, offset=1.0 if k.endswith("norm") else 0.0) for k, s in shapes.items()}
    ids, types = torch.randint(11, (STARTS[-1],)), torch.randint(2, (STARTS[-1],))
    sum(loss(o) for o in model(w, ids, types)).backward()

    def flat(t):
        return [float(f"{x:.9g}") for x in t.detach().reshape(-1).tolist()]

    golden[name] = {
        "ids": ids.tolist(), "types": types.tolist(), "starts": STARTS,
        "weights": {k: flat(v) for k, v in w.items()},
        "gradients": {k: flat(v.grad) for k, v in w.items()},
    }
path = pathlib.Path(__file__).resolve().parents[2] / "src/train/golden/gradients.json"
path.write_text(json.dumps(golden) + "\n")


def relation(student, teacher, heads):
    """Wang et al. 2021, summed over sequences."""
    total = 0
    for a, b in zip(STARTS, STARTS[1:]):
        def scores(x):
            x = x[a:b].view(b - a, heads, -1).transpose(0, 1)
            return x @ x.transpose(1, 2) / math.sqrt(x.shape[-1])

        p, q = (F.log_softmax(scores(x), -1) for x in (teacher, student))
        total = total + F.kl_div(q, p, log_target=True, reduction="sum") / (heads * (b - a))
    return total


def similarity(student, teacher):
    def cosines(x):
        x = F.normalize(x, dim=1)
        return x @ x.T

    return ((cosines(student) - cosines(teacher)) ** 2).sum() / (len(student) - 1)


COLS, FEW = 16, 8
student, teacher, narrow = (torch.randn(STARTS[-1], c).float().double() for c in (COLS, COLS, FEW))
losses = {"starts": STARTS, "cols": COLS, "few": FEW, "student": flat(student),
          "teacher": flat(teacher), "narrow": flat(narrow)}
for name, rows, function in (
        ("mean_squared", student, lambda x: F.mse_loss(x, teacher, reduction="sum") / COLS),
        ("cosine", student, lambda x: (1 - F.cosine_similarity(x, teacher)).sum()),
        ("relation", narrow, lambda x: relation(x, teacher, 4)),
        ("similarity", narrow, lambda x: similarity(x, teacher))):
    x = rows.clone().requires_grad_()
    value = function(x)
    value.backward()
    losses[name] = {"value": value.item(), "gradient": flat(x.grad)}
path.with_name("losses.json").write_text(json.dumps(losses) + "\n")
