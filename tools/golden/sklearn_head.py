#!/usr/bin/env python3
"""scikit-learn's logistic regression on the reference embeddings, official splits: the number ours is
held against.

  python3 sklearn_head.py --hf DIR --data ../shared/data

C by 5-fold cross-validation over the same grid as `tack build`.
"""
import argparse
import csv
import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--hf", required=True)
parser.add_argument("--data", type=pathlib.Path, required=True)
args = parser.parse_args()


def embed(lines):
    import torch
    from transformers import AutoModel, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained(args.hf), AutoModel.from_pretrained(args.hf).eval()
    order = sorted(range(len(lines)), key=lambda i: len(lines[i]))
    out = np.zeros((len(lines), model.config.hidden_size), dtype=np.float32)
    for begin in range(0, len(lines), 64):
        part = order[begin:begin + 64]
        batch = tokenizer([lines[i] for i in part], padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        out[part] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
    return out


def banking():
    rows = {name: list(csv.DictReader((args.data / f"banking77/{name}.csv").open(encoding="utf-8", newline="")))
            for name in ("train", "test")}
    return [([r["text"] for r in rows[n]], [r["category"] for r in rows[n]]) for n in ("train", "test")] + [([], [])]


def clinc():
    data = json.loads((args.data / "clinc150/data_oos_plus.json").read_text())
    return [tuple(zip(*data[name])) for name in ("train", "test", "oos_test")]


for name, (train, test, oos) in (("BANKING77", banking()), ("CLINC150", clinc())):
    x, y = embed(list(train[0])), np.array(train[1])
    search = GridSearchCV(LogisticRegression(max_iter=2000), {"C": [1, 3, 10, 30, 100, 300]},
                          cv=StratifiedKFold(5, shuffle=True, random_state=1), n_jobs=2)
    search.fit(x, y)
    x_test = embed(list(test[0]))
    line = f"{name}: C = {search.best_params_['C']}, accuracy {100 * search.score(x_test, test[1]):.2f} %"
    if len(oos[0]):
        scores = [1 - search.predict_proba(part).max(1) for part in (x_test, embed(list(oos[0])))]
        line += f", out-of-scope AUROC {100 * roc_auc_score([0] * len(scores[0]) + [1] * len(scores[1]), np.concatenate(scores)):.2f} %"
    print(line, flush=True)
