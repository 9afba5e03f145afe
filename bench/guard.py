#!/usr/bin/env python3
"""What the guard that ships catches, and what it takes for an attack that is none.

    bench/guard.py DIR [--tack build/tack] [--seeds 1 2 3] [--threads 2] [--type q4_0]
    bench/guard.py DIR --development       choices: without two sources, measured on them (no test is opened)
    bench/guard.py DIR --model FILE        measures a file in place of training (seed 1)

Reads TACK_DATA (default ../shared/data). Makes the rows (tools/guard_sets.py), trains tasks/guard.toml
with each seed, makes it smaller (tack quantize), freezes thresholds at 1 % false positives of the benign
development rows, then scores the tests and prints Markdown; DIR/thresholds.json has the thresholds of the
first seed. What is in DIR is not made again, and a training that was stopped goes on.

The hashed baseline: words, pairs of words and stretches of 3 to 5 characters, a logistic regression for each
head on the same rows, C by AUROC on the same development rows, the same thresholds. It needs scikit-learn,
and is left out without it; the rest needs numpy.

Texts of more than 130 words are cut into windows, and the highest score counts, as in the engine.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from guard_sources import windows  # noqa: E402

NONE = {"harm": "safe", "injection": "none"}
DEVELOPMENT = ("strongreject", "jailbreaks")
RESAMPLES, RATE = 1000, 0.01
CS = (0.3, 1, 3, 10, 30)


def rows_of(path):
    csv.field_size_limit(1 << 24)
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Metrics of scores of positives and of negatives. Weights say how often a resample has a row.

class Ranked:
    def __init__(self, positive, negative):
        self.positive, self.negative = positive, negative
        values, where = np.unique(np.concatenate([positive, negative]), return_inverse=True)
        self.of_positive, self.of_negative, self.count = where[:len(positive)], where[len(positive):], len(values)
        self.order = np.argsort(-negative, kind="stable")

    def weights(self, pair):
        return pair or (np.ones(len(self.positive)), np.ones(len(self.negative)))

    def auroc(self, pair=None):
        """The share of pairs in which the positive has the higher score; ties count half."""
        p, n = self.weights(pair)
        ps, ns = np.bincount(self.of_positive, p, self.count), np.bincount(self.of_negative, n, self.count)
        return float((ps * (np.cumsum(ns) - ns / 2)).sum() / (p.sum() * n.sum()))

    def recall(self, rate, pair=None):
        """Share of positives above the lowest threshold that at most `rate` of the negatives pass."""
        p, n = self.weights(pair)
        passed = np.cumsum(n[self.order])
        at = min(np.searchsorted(passed, rate * passed[-1], side="right"), len(self.order) - 1)
        return float(p[self.positive > self.negative[self.order[at]]].sum() / p.sum())


def auroc(positive, negative):
    return Ranked(positive, negative).auroc()


def threshold(negative, rate=RATE):
    """Trips from there on, at most `rate` of the negatives."""
    ordered = np.sort(negative)[::-1]
    at = int(rate * len(ordered))
    return float(np.nextafter(ordered[at], 2))


def interval(values):
    return np.percentile(values, [2.5, 97.5])


class Measured:
    """Of one test: each measure's mean over seeds with an interval over rows, and the baseline beside it."""

    def __init__(self, ours, base, harm, rng):
        """ours: a list (seeds) of scores [rows]; base: scores or None; harm: which rows are attacks."""
        self.values = {}
        ours = [Ranked(scores[harm], scores[~harm]) for scores in ours]
        base = None if base is None else Ranked(base[harm], base[~harm])
        weights = [tuple(rng.multinomial(count, np.full(count, 1 / count)).astype(float)
                         for count in (int(harm.sum()), int((~harm).sum()))) for _ in range(RESAMPLES)]
        measures = {"auroc": lambda one, pair=None: one.auroc(pair), "recall1": lambda one, pair=None: one.recall(0.01, pair),
                    "recall5": lambda one, pair=None: one.recall(0.05, pair)}
        for name, measure in measures.items():
            seeds = [measure(one) for one in ours]
            drawn = np.array([np.mean([measure(one, pair) for one in ours]) for pair in weights])
            self.values[name] = {"mean": float(np.mean(seeds)), "seeds": seeds, "interval": interval(drawn).tolist()}
            if base is not None:
                other = np.array([measure(base, pair) for pair in weights])
                self.values[name] |= {"base": measure(base), "difference": float(np.mean(seeds)) - measure(base),
                                      "ahead": interval(drawn - other).tolist()}


class Baseline:
    """One head. `dev`: (texts, attacks) that choose C."""

    def __init__(self, texts, attacks, dev):
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_union
        same = {"alternate_sign": False, "norm": None, "binary": True}
        self.counts = make_union(
            HashingVectorizer(ngram_range=(1, 2), n_features=2**18, token_pattern=r"(?u)\b\w+\b", **same),
            HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**19, **same))
        self.weights = TfidfTransformer()
        features = self.weights.fit_transform(self.counts.transform(texts))
        tried = []
        for c in CS:
            self.model = LogisticRegression(C=c, solver="liblinear", max_iter=300).fit(features, attacks)
            scores = self(dev[0])
            tried.append((auroc(scores[dev[1]], scores[~dev[1]]), c, self.model))
        self.quality, self.c, self.model = max(tried, key=lambda one: one[0])

    def __call__(self, texts):
        return self.model.predict_proba(self.weights.transform(self.counts.transform(texts)))[:, 1]


class Bench:
    def __init__(self, options):
        self.options = options
        self.tack = str(pathlib.Path(options.tack).resolve())
        self.dir = options.dir.resolve()
        self.dir.mkdir(parents=True, exist_ok=True)
        self.env = {**os.environ, "TACK_HOME": str(ROOT),
                    "TACK_DATA": os.environ.get("TACK_DATA", str(ROOT / "../shared/data"))}

    def run(self, *command, to=None, **env):
        done = subprocess.run([str(part) for part in command], env={**self.env, **env}, text=True,
                              stdout=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}")
        if to:
            to.with_suffix(".tmp").write_text(done.stdout, encoding="utf-8")
            to.with_suffix(".tmp").rename(to)
        return done.stdout

    def sets(self, name, *flags):
        """The rows, made once: the folder that TACK_SETS names."""
        out = self.dir / name
        if not (self.dir / f"{name}.log").exists():
            self.run(sys.executable, ROOT / "tools/guard_sets.py", out, *flags, to=self.dir / f"{name}.log")
        return out

    def model(self, sets, name, seed):
        """A trained model, in fewer bits. Calibrated on training texts."""
        trained, small = self.dir / f"{name}.f16.gguf", self.dir / f"{name}.gguf"
        threads = ("-t", self.options.threads)
        if not trained.exists():
            self.run(self.tack, "build", ROOT / "tasks/guard.toml", "-o", trained, "--json", *threads, "--set",
                     f"train.seed={seed}", "--set", "gate.floor=0", "--set", "model.type=f16",
                     to=self.dir / f"{name}.build.json", TACK_SETS=str(sets))
        if self.options.type == "f16":
            return trained
        if not small.exists():
            texts = self.dir / f"{name}.texts"
            some = [row["text"] for head in NONE for row in rows_of(sets / f"guard/{head}-train.csv")[:1500]]
            texts.write_text("".join(" ".join(text.split()) + "\n" for text in some), encoding="utf-8")
            self.run(self.tack, "quantize", trained, "-o", small, "--type", self.options.type, "--method", "gptq",
                     "--data", texts, *threads)
        return small

    def scores(self, model, name, rows):
        """{head: [rows]}, the highest of each text's windows."""
        path = self.dir / "scores" / f"{model.stem}.{name}.json"
        if path.exists():
            return {head: np.array(some) for head, some in json.loads(path.read_text()).items()}
        path.parent.mkdir(exist_ok=True)
        owner, cut = [], path.with_suffix(".csv")
        with open(cut, "w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(["text"])
            for i, row in enumerate(rows):
                for text in windows(row["text"]) or ["-"]:
                    out.writerow([text or "-"])
                    owner.append(i)
        said = self.run(self.tack, "classify", model, cut, "--json", "--top", 0, "-t", self.options.threads)
        result = {head: np.zeros(len(rows)) for head in NONE}
        for i, line in zip(owner, said.splitlines(), strict=True):
            heads = json.loads(line)["heads"]
            for head, none in NONE.items():
                no = next(one["probability"] for one in heads[head]["top"] if one["label"] == none)
                result[head][i] = max(result[head][i], 1 - no)
        cut.unlink()
        path.write_text(json.dumps({head: some.tolist() for head, some in result.items()}))
        return result

    def baselines(self, sets, name):
        """{head: Baseline}, made when first called. `name`: in what is said of C."""
        made = {}

        def fitted():
            for head, none in {} if made else NONE.items():
                train, dev = (rows_of(sets / f"guard/{head}-{part}.csv") for part in ("train", "dev"))
                made[head] = Baseline([row["text"] for row in train], [row["label"] != none for row in train],
                                      ([row["text"] for row in dev], np.array([row["label"] != none for row in dev])))
                print(f"{name}, {head}: C = {made[head].c}, AUROC {made[head].quality:.4f} on development rows",
                      file=sys.stderr)
            return made
        try:
            import sklearn  # noqa: F401
        except ImportError:
            return None
        fitted.name = name
        return fitted

    def base_scores(self, baselines, name, rows):
        """As scores(), of the baseline; None without one."""
        if not baselines:
            return None
        path = self.dir / "scores" / f"hashed.{baselines.name}.{name}.json"
        if path.exists():
            return {head: np.array(some) for head, some in json.loads(path.read_text()).items()}
        texts = [windows(row["text"]) or ["-"] for row in rows]
        owner = np.repeat(np.arange(len(rows)), [len(some) for some in texts])
        flat, result = [text for some in texts for text in some], {}
        for head, model in baselines().items():
            result[head] = np.zeros(len(rows))
            np.maximum.at(result[head], owner, model(flat))
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({head: some.tolist() for head, some in result.items()}))
        return result


def line(name, positives, negatives, values):
    cells = []
    for key, scale, digits in (("auroc", 1, 3), ("recall1", 100, 1), ("recall5", 100, 1)):
        one = values[key]
        low, high = (scale * value for value in one["interval"])
        cells.append(f"{scale * one['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        if "base" in one:
            low, high = (scale * value for value in one["ahead"])
            cells.append(f"{scale * one['base']:.{digits}f}")
            cells.append(f"{scale * one['difference']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]")
        else:
            cells += ["", ""]
    print(f"| {name} | {positives} | {negatives} | {' | '.join(cells)} |")


HEADER = ("| positives | rows | against | AUROC | hashed | ahead | recall at 1 % | hashed | ahead | recall at 5 % | hashed | "
          "ahead |\n|---|---|---|---|---|---|---|---|---|---|---|---|")


def compare(bench, title, positives, negatives, head, report, rng):
    """One line of the table. positives, negatives: (ours: list over seeds, base) of scores by head."""
    ours = [np.concatenate([p[head], n[head]]) for p, n in zip(positives[0], negatives[0])]
    base = None if positives[1] is None else np.concatenate([positives[1][head], negatives[1][head]])
    harm = np.arange(len(ours[0])) < len(positives[0][0][head])
    values = Measured(ours, base, harm, rng).values
    line(title, int(harm.sum()), int((~harm).sum()), values)
    report[title] = values


def pick(scored, keep):
    """The rows of `keep` of what score() made."""
    def some(one):
        return None if one is None else {head: values[keep] for head, values in one.items()}
    return [some(one) for one in scored[0]], some(scored[1])


def development(bench):
    """The sources that were kept out, and templates that were: choices are made on this table."""
    sets = bench.sets("development-sets", "--without", *DEVELOPMENT)
    model = bench.model(sets, "development", 1)
    base = bench.baselines(sets, "development")
    rng, report = np.random.default_rng(1), {}
    print(HEADER)
    for head, source in zip(NONE, DEVELOPMENT):
        dev = rows_of(sets / f"guard/{head}-dev.csv")
        attacks = np.array([row["label"] != NONE[head] for row in dev])
        scored = [bench.scores(model, f"{head}-dev", dev)], bench.base_scores(base, head, dev)
        held = rows_of(sets / f"guard/heldout-{source}.csv")
        kept = [bench.scores(model, source, held)], bench.base_scores(base, source, held)
        compare(bench, source, kept, pick(scored, ~attacks), head, report, rng)
        compare(bench, f"{head}: templates held out", pick(scored, attacks), pick(scored, ~attacks), head, report, rng)


def frozen(bench, sets, models, base):
    """Thresholds of each seed and of the baseline: at most 1 % of the benign development rows trip."""
    ours, hashed = [{} for _ in models], {}
    for head, none in NONE.items():
        dev = rows_of(sets / f"guard/{head}-dev.csv")
        benign = np.array([row["label"] == none for row in dev])
        for one, model in zip(ours, models):
            one[head] = threshold(bench.scores(model, f"{head}-dev", dev)[head][benign])
        if base:
            hashed[head] = threshold(bench.base_scores(base, head, dev)[head][benign])
    path = bench.dir / "thresholds.json"
    shipped = {head: {"threshold": round(value, 4), "categories": {}} for head, value in ours[0].items()}
    path.write_text(json.dumps({"tack.guard": {"heads": shipped}, "false_positives": RATE,
                                "rows": "benign development rows"}, indent=1) + "\n", encoding="utf-8")
    return ours, hashed


def alarms(title, scored, ours, hashed):
    """False positives at the frozen thresholds: mean over seeds, range; the baseline's."""
    def share(scores, limits, heads):
        return 100 * np.mean(np.any([scores[head] >= limits[head] for head in heads], axis=0))
    cells = []
    for heads in (["harm"], ["injection"], ["harm", "injection"]):
        seeds = [share(scores, limits, heads) for scores, limits in zip(scored[0], ours)]
        cells.append(f"{seeds[0]:.2f} ({min(seeds):.2f} to {max(seeds):.2f})")
        cells.append(f"{share(scored[1], hashed, heads):.2f}" if hashed else "")
    print(f"| {title} | {len(scored[0][0]['harm'])} | {' | '.join(cells)} |")


def test(bench):
    sets = bench.sets("sets")
    models = [bench.options.model.resolve()] if bench.options.model else \
        [bench.model(sets, f"guard.{seed}", seed) for seed in bench.options.seeds]
    base = bench.baselines(sets, "baseline")
    ours, hashed = frozen(bench, sets, models, base)
    print(f"thresholds, frozen: {ours}; hashed {hashed}\n")
    rows = {name: rows_of(sets / f"guard/tests/{name}.csv") for name in
            ("harmbench", "harmful_test", "tdc2023", "injections", "alpaca", "queries", "lookalikes")}
    scored = {name: ([bench.scores(model, name, some) for model in models], bench.base_scores(base, name, some))
              for name, some in rows.items()}
    types = {name: np.array([row["type"] for row in some]) for name, some in rows.items()}
    attack = np.array([row["label"] == "harm" for row in rows["injections"]])
    copyrighted = np.array(["copyright" in kind for kind in types["harmbench"]])
    rng, report = np.random.default_rng(1), {}
    print(HEADER)
    for name, negatives in (("alpaca", scored["alpaca"]), ("queries", scored["queries"])):
        compare(bench, f"HarmBench, without copyright / {name}", pick(scored["harmbench"], ~copyrighted), negatives,
                "harm", report, rng)
        compare(bench, f"HarmBench, all / {name}", scored["harmbench"], negatives, "harm", report, rng)
        compare(bench, f"HarmBench, copyright / {name}", pick(scored["harmbench"], copyrighted), negatives, "harm",
                report, rng)
        compare(bench, f"harmful_test, the rest / {name}", scored["harmful_test"], negatives, "harm", report, rng)
        compare(bench, f"tdc2023, the rest / {name}", scored["tdc2023"], negatives, "harm", report, rng)
    own = pick(scored["injections"], ~attack)
    request = types["injections"] == "Harmful Request"
    for title, keep in [("injections, all", attack), ("injections, without harmful requests", attack & ~request)] + [
            (f"injections: {kind}", attack & (types["injections"] == kind)) for kind in
            sorted(set(types["injections"][attack]))]:
        compare(bench, title, pick(scored["injections"], keep), own, "injection", report, rng)
    compare(bench, "injections, without harmful requests / queries", pick(scored["injections"], attack & ~request),
            scored["queries"], "injection", report, rng)
    compare(bench, "injections: Harmful Request, by harm", pick(scored["injections"], attack & request), own, "harm",
            report, rng)
    print("\nfalse positives at the frozen thresholds, %: first seed (range over seeds), hashed\n\n"
          "| | texts | harm | hashed | injection | hashed | either | hashed |\n|---|---|---|---|---|---|---|---|")
    for title, some in (("BANKING77 and CLINC150, test queries", scored["queries"]),
                        ("Alpaca, harmless", scored["alpaca"]), ("look-alikes", scored["lookalikes"]),
                        ("injections: harmless rows", own)):
        alarms(title, some, ours, hashed)
    for kind in dict.fromkeys(types["lookalikes"]):
        alarms(f"look-alikes: {kind}", pick(scored["lookalikes"], types["lookalikes"] == kind), ours, hashed)
    print("\ncaught at the frozen thresholds, %\n\n"
          "| | texts | harm | hashed | injection | hashed | either | hashed |\n|---|---|---|---|---|---|---|---|")
    for title, some in (("HarmBench, without copyright", pick(scored["harmbench"], ~copyrighted)),
                        ("harmful_test, the rest", scored["harmful_test"]), ("tdc2023, the rest", scored["tdc2023"]),
                        ("injections, without harmful requests", pick(scored["injections"], attack & ~request)),
                        ("injections: Harmful Request", pick(scored["injections"], attack & request))):
        alarms(title, some, ours, hashed)
    (bench.dir / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--tack", default=str(ROOT / "build/tack"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--type", default="q4_0", help="of the matrices: q4_0, q5_0, int8 or f16")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--development", action="store_true")
    bench = Bench(parser.parse_args())
    (development if bench.options.development else test)(bench)


if __name__ == "__main__":
    main()
