"""Fine-tunes an encoder of sentence-transformers on labelled CSV rows in PyTorch, the way a user
would for speed on a CPU: batches cut by length, bf16 autocast, torch.compile when asked for.

    python bench/peers/training.py MODEL_DIR train.csv test.csv [--bf16] [--compile] [--epochs 3]

Prints examples per second of the training steps (the first 20 left out), accuracy on the test rows
and the peak memory of the process. The head, optimizer and schedule are those of `tack build` with
[train] method = "full": mean pooling, L2, linear; AdamW, warm-up over a tenth, linear decay.
"""
import argparse
import csv
import random
import resource
import time

import torch
from transformers import AutoModel, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("train")
parser.add_argument("test")
parser.add_argument("--text", default="text")
parser.add_argument("--label", default="category")
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--steps", type=int, default=0, help="stop after so many, for a timing")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--rate", type=float, default=5e-5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
random.seed(args.seed)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [(row[args.text], row[args.label]) for row in csv.DictReader(file)]


train, test = read(args.train), read(args.test)
names = sorted({label for _, label in train})
index = {name: i for i, name in enumerate(names)}
tokenizer = AutoTokenizer.from_pretrained(args.model)
ids = tokenizer([text for text, _ in train], truncation=True, max_length=256)["input_ids"]
labels = [index[label] for _, label in train]


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(args.model)
        self.drop = torch.nn.Dropout(0.1)
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, len(names))
        torch.nn.init.normal_(self.head.weight, std=0.5)

    def forward(self, ids, mask):
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        pooled = self.drop((hidden * weights).sum(1) / weights.sum(1))
        return self.head(torch.nn.functional.normalize(pooled, dim=-1)) * 10


def collate(rows):
    width = max(len(ids[i]) for i in rows)
    batch = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for r, i in enumerate(rows):
        batch[r, : len(ids[i])] = torch.tensor(ids[i])
        mask[r, : len(ids[i])] = 1
    return batch, mask, torch.tensor([labels[i] for i in rows])


def batches():
    # Shuffled, then sorted within stretches of 50 batches: little padding, still random.
    order = list(range(len(train)))
    random.shuffle(order)
    stretch = 50 * args.batch
    cut = []
    for at in range(0, len(order), stretch):
        part = sorted(order[at : at + stretch], key=lambda i: len(ids[i]))
        cut += [part[i : i + args.batch] for i in range(0, len(part), args.batch)]
    random.shuffle(cut)
    return cut


model = Classifier()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.01, fused=True)
total = args.epochs * len(batches())
schedule = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda s: min((s + 1) / (0.1 * total), (total - s) / (0.9 * total))
)
run = torch.compile(model, dynamic=True) if args.compile else model
model.train()
step, examples, start = 0, 0, time.time()
for _ in range(args.epochs):
    for rows in batches():
        batch, mask, target = collate(rows)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            loss = torch.nn.functional.cross_entropy(run(batch, mask).float(), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        step += 1
        examples += len(rows)
        if step == 20:
            examples, start = 0, time.time()
        if step == args.steps:
            break
    if step == args.steps:
        break
seconds = time.time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
line = f"{examples / seconds:.0f} examples/s, peak {peak:.0f} MB, {step} steps"
if not args.steps:
    model.eval()
    right = 0
    with torch.no_grad():
        for at in range(0, len(test), 64):
            part = test[at : at + 64]
            encoded = tokenizer([t for t, _ in part], truncation=True, max_length=256, padding=True,
                                return_tensors="pt")
            guess = model(encoded["input_ids"], encoded["attention_mask"]).argmax(-1)
            right += sum(names[g] == label for g, (_, label) in zip(guess.tolist(), part))
    line += f", accuracy {100 * right / len(test):.2f} %"
print(line)
