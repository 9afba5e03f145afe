"""Fine-tunes the same encoder on the same rows with `tack build` and with PyTorch, turn by turn on the same
machine, and prints how they compare.

    python bench/peers/training.py build/tack HF_DIR train.csv test.csv [--precision f32] [--compile]
    python bench/peers/training.py build/tack HF_DIR train.csv test.csv --accuracy [--epochs 5]

Speed: every round trains --steps batches of --batch rows once with each, in a process of its own, and
takes examples per second over the steps after --warmup. Printed are both medians, the median of the
ratios of the rounds, and the largest resident memory of either process. PyTorch runs the way a user would
for speed on a CPU: batches cut by length, so that little is padded; autocast to bf16 and torch.compile
when asked for. Ours takes batches as they are drawn: it pads nothing.

Accuracy: full training of both on nine tenths of the rows; the epoch is chosen on the rest, and the test
rows are read once. Optimizer and schedule are the same: AdamW, warm-up over a tenth, linear decay, norm
clipped at 1, dropout 0.1. Ours starts its head from a logistic regression, as `tack build` does.
"""
import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("tack")
    parser.add_argument("model", help="directory of the encoder, as of Hugging Face")
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--base", default="all-minilm-l6-v2", help="the same encoder for tack: a file or a name")
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="category")
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--compile", action="store_true", help="torch.compile the peer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--warmup", type=int, default=20, help="steps that are not counted")
    parser.add_argument("--accuracy", action="store_true", help="train to the end, compare the test rows")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer-in", help=argparse.SUPPRESS)  # directory of the rows: this is the peer's process
    return parser.parse_args()


def read(path, args):
    with open(path, newline="", encoding="utf-8") as file:
        return [(row[args.text], row[args.label]) for row in csv.DictReader(file)]


def write(path, rows, args):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow([args.text, args.label])
        out.writerows(rows)


def by_label(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row[1], []).append(row)
    return groups.values()


def cut_rows(args, directory):
    """Writes train.csv, validation.csv and test.csv, the same for both. Every label is in each."""
    random.seed(args.seed)
    rows = read(args.train, args)
    random.shuffle(rows)
    if args.accuracy:
        train, validation = [], []
        for group in by_label(rows):
            tenth = max(1, len(group) // 10)
            validation += group[:tenth]
            train += group[tenth:]
        test = read(args.test, args)
    else:
        wanted = args.steps * args.batch
        validation = [row for group in by_label(rows) for row in group[:2]]
        chosen = set(validation)
        train = validation + [row for row in rows if row not in chosen]
        if len(train) < wanted:
            sys.exit(f"{args.train} has {len(train)} rows; {args.steps} steps of {args.batch} need {wanted}")
        train, test = train[:wanted], validation
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        write(f"{directory}/{name}.csv", part, args)


def measured(command, directory):
    """Runs it; returns the JSON it prints and its largest resident memory in MB."""
    with open(f"{directory}/out", "w+b") as out, open(f"{directory}/err", "w+b") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{err.read().decode()}")
        return json.loads(out.read()), usage.ru_maxrss / 1024


def run_ours(args, directory):
    """Seconds of each step, accuracy, MB."""
    with open(f"{directory}/task.toml", "w", encoding="utf-8") as task:
        task.write(f"""[data]
train = "train.csv"
validation = "validation.csv"
test = "test.csv"
text = "{args.text}"
label = "{args.label}"
[model]
base = "{args.base}"
[train]
method = "full"
epochs = {args.epochs if args.accuracy else 1}
batch = {args.batch}
rate = {args.rate}
bf16 = {"true" if args.precision == "bf16" else "false"}
seed = {args.seed}
[head]
c = [10]
folds = 2
""")
    result, memory = measured([args.tack, "build", f"{directory}/task.toml", "-o", f"{directory}/out.gguf",
                               "--threads", str(args.threads), "--json"], directory)
    return result["training"]["step_seconds"], result["accuracy"], memory


def run_peer(args, directory):
    result, memory = measured([sys.executable, *sys.argv, "--peer-in", directory], directory)
    return result["step_seconds"], result["accuracy"], memory


def be_peer(args):
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    train, validation, test = (read(f"{args.peer_in}/{name}.csv", args) for name in ("train", "validation", "test"))
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

    def accuracy(rows):
        model.eval()
        right = 0
        with torch.no_grad():
            for at in range(0, len(rows), 64):
                part = rows[at : at + 64]
                encoded = tokenizer([text for text, _ in part], truncation=True, max_length=256, padding=True,
                                    return_tensors="pt")
                guess = model(encoded["input_ids"], encoded["attention_mask"]).argmax(-1)
                right += sum(names[g] == label for g, (_, label) in zip(guess.tolist(), part))
        model.train()
        return right / len(rows)

    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.01, fused=True)
    epochs = args.epochs if args.accuracy else 1
    total = epochs * -(-len(train) // args.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / (0.1 * total), (total - s) / (0.9 * total)))
    run = torch.compile(model, dynamic=True) if args.compile else model
    model.train()
    seconds, best, weights = [], -1, None
    for _ in range(epochs):
        for rows in batches():
            start = time.perf_counter()
            batch, mask, target = collate(rows)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
                loss = torch.nn.functional.cross_entropy(run(batch, mask).float(), target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            seconds.append(time.perf_counter() - start)
        if args.accuracy and (now := accuracy(validation)) > best:
            best, weights = now, {k: v.clone() for k, v in model.state_dict().items()}
    if weights:
        model.load_state_dict(weights)
    print(json.dumps({"step_seconds": seconds, "accuracy": accuracy(test) if args.accuracy else None}))


def compare_speed(args, directory):
    rates, memories, ratios = ([], []), [0, 0], []
    for number in range(1, args.rounds + 1):
        for who, run in enumerate((run_ours, run_peer)):
            seconds, _, memory = run(args, directory)
            counted = seconds[args.warmup :]
            rates[who].append(args.batch * len(counted) / sum(counted))
            memories[who] = max(memories[who], memory)
        ratios.append(rates[0][-1] / rates[1][-1])
        print(f"round {number}: ours {rates[0][-1]:.1f}, PyTorch {rates[1][-1]:.1f} examples/s, "
              f"ratio {ratios[-1]:.2f}", flush=True)
    how = args.precision + (", torch.compile" if args.compile else "")
    for name, rate, memory in zip(("ours", f"PyTorch ({how})"), rates, memories):
        print(f"{name}: {statistics.median(rate):.1f} examples/s, peak {memory:.0f} MB")
    print(f"median ratio {statistics.median(ratios):.2f} of {args.rounds} rounds, {args.precision}, "
          f"{args.threads} threads, batches of {args.batch}, steps {args.warmup + 1} to {args.steps}")


def compare_accuracy(args, directory):
    for name, run in (("ours", run_ours), ("PyTorch", run_peer)):
        seconds, accuracy, memory = run(args, directory)
        print(f"{name}: accuracy {100 * accuracy:.2f} %, {len(seconds)} steps in {sum(seconds):.0f} s, "
              f"peak {memory:.0f} MB", flush=True)


def main():
    args = arguments()
    if args.peer_in:
        be_peer(args)
        return
    with tempfile.TemporaryDirectory() as directory:
        cut_rows(args, directory)
        (compare_accuracy if args.accuracy else compare_speed)(args, directory)


main()
