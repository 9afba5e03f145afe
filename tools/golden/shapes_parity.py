#!/usr/bin/env python3
"""Random-weight models of the shapes we claim to run, against transformers.

  python3 shapes_parity.py --tack build/tack --hf DIR      # DIR: for its tokenizer

MiniLM-L12, BERT-base, BGE-small (CLS pooling) and E5-small, each with the layout sentence-transformers
writes; f32 files, least cosine over a few sentences. Also a classifier with BERT's pooler, whose
probabilities must agree.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

SHAPES = {"MiniLM-L12": (384, 12, 12, 1536, "mean"), "BERT-base": (768, 12, 12, 3072, "mean"),
          "BGE-small": (384, 12, 12, 1536, "cls"), "E5-small": (384, 12, 12, 1536, "mean")}
LINES = ["How do I reset my password?", "thanks!!", "A longer sentence, with commas, numbers like 3,000 and naïve accents.",
         "東京 is large.", "x"]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tack", required=True)
parser.add_argument("--hf", required=True)
args = parser.parse_args()
tokenizer = AutoTokenizer.from_pretrained(args.hf)
torch.manual_seed(1)


def config(width, layers, heads, inner, **more):
    # Weights ten times the usual start: with tiny ones every layer is nearly the identity.
    return BertConfig(vocab_size=30522, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                      intermediate_size=inner, initializer_range=0.2, **more)


def run(*command, text=None):
    return subprocess.run([args.tack, *command], input=text, capture_output=True, text=True, check=True).stdout


failed = False
for name, (width, layers, heads, inner, pooling) in SHAPES.items():
    with tempfile.TemporaryDirectory() as path:
        model = BertModel(config(width, layers, heads, inner)).eval()
        for module in model.modules():  # LayerNorm weights that are not all 1
            if isinstance(module, torch.nn.LayerNorm):
                torch.nn.init.normal_(module.weight, 1, 0.2)
                torch.nn.init.normal_(module.bias, 0, 0.2)
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        folder = pathlib.Path(path)
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling/config.json").write_text(json.dumps(
            {"word_embedding_dimension": width, "pooling_mode_cls_token": pooling == "cls",
             "pooling_mode_mean_tokens": pooling == "mean"}))
        (folder / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{t}", "path": p, "idx": i, "name": str(i)}
                                                         for i, (t, p) in enumerate((("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")))]))
        run("convert", path, f"{path}/m.gguf", "--type", "f32")
        ours = np.array([json.loads(line) for line in run("embed", f"{path}/m.gguf", "-", text="\n".join(LINES) + "\n").splitlines()])
        batch = tokenizer(LINES, padding=True, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1)
        expected = torch.nn.functional.normalize(pooled, dim=1).numpy()
        least = ((ours * expected).sum(1) / np.linalg.norm(ours, axis=1)).min()
        failed |= least < 0.99999
        print(f"{name}: least cosine {least:.7f}")

with tempfile.TemporaryDirectory() as path:
    labels = {i: f"label {i}" for i in range(5)}
    model = BertForSequenceClassification(config(128, 3, 4, 512, num_labels=5, id2label=labels, label2id={v: k for k, v in labels.items()})).eval()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    run("convert", path, f"{path}/m.gguf", "--type", "f32")
    with torch.inference_mode():
        expected = torch.softmax(model(**tokenizer(LINES, padding=True, return_tensors="pt")).logits, 1).numpy()
    out = [json.loads(line) for line in run("classify", f"{path}/m.gguf", "-", "--json", "--top", "0", text="\n".join(LINES) + "\n").splitlines()]
    ours = np.array([[next(t["probability"] for t in row["top"] if t["label"] == labels[i]) for i in range(5)] for row in out])
    worst = np.abs(ours - expected).max()
    failed |= worst > 1e-4
    print(f"classifier with pooler: largest difference of a probability {worst:.2e}")
raise SystemExit(int(failed))
