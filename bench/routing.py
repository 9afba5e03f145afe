#!/usr/bin/env python3
"""What learned routers are worth on published answers of models: quality against cost.

    bench/routing.py DIR [--tack build/tack] [--only mmlu floor shares labels gsm8k nine times] [--encoders shipped none]

Reads TACK_DATA (default ../shared/data): routellm (MMLU and GSM8K, right or wrong of Mixtral 8x7B and
GPT-4) and llmrouter (nine models on 5,608 questions). Makes the folds (sha256 of the prompt modulo 5:
0 to 2 train, 3 calibrates, 4 tests), runs `tack route`, prints Markdown. Data, routers and results
stay in DIR; what is there is not made again.

The hashed baseline is a pair of logistic regressions on hashed words and pairs of words, one for each
model, ranked by their difference; C by cross-validation on the training rows alone. It needs numpy
and scikit-learn, and is left out without them.
"""
import argparse
import csv
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("TACK_DATA", ROOT / ".." / "shared" / "data"))
WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
PAIR = ["--weak", "mixtral", "--strong", "gpt4"]
LABELS, SEEDS = 1500, (1, 2, 3, 4, 5)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FLOORS = (0.9, 0.93, 0.95, 0.97)
# Of LLMRouter's default_llm.json, for a million tokens; a 51B model costs what its 49B one does.
NINE = {"gemma-2-9b-it": 0.1, "qwen2.5-7b-instruct": 0.2, "llama-3.1-8b-instruct": 0.2, "codegemma-7b": 0.2,
        "llama3-chatqa-1.5-8b": 0.2, "mistral-7b-instruct-v0.3": 0.2, "llama-3.3-nemotron-super-49b-v1": 0.9,
        "llama-3.1-nemotron-51b-instruct": 0.9, "llama3-chatqa-1.5-70b": 0.9}


def fold(text, folds=5):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % folds


def pair_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {"prompt": row["prompt"], "mixtral": row[WEAK] == "True", "gpt4": row[STRONG] == "True"}


def mmlu():
    return [row for path in sorted((DATA / "routellm/mmlu/responses").glob("*.csv")) for row in pair_rows(path)]


def gsm8k():
    return list(pair_rows(DATA / "routellm/gsm8k/gsm8k_responses.csv"))


def nine():
    rows = json.loads((DATA / "llmrouter/dcrouter_train.json").read_text(encoding="utf-8"))
    return [{"prompt": row["question"], **row["scores"]} for row in rows]


class Hashed:
    """The baseline: hashed 1-2-grams, a logistic regression for each model."""

    def __init__(self, texts):
        from sklearn.feature_extraction.text import HashingVectorizer
        self.counts = HashingVectorizer(ngram_range=(1, 2), n_features=2**18, alternate_sign=False, norm=None,
                                        binary=True).transform(texts)

    def gains(self, rows, train, test):
        """The strong model's chance minus the weak one's, of the test rows."""
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.linear_model import LogisticRegressionCV
        warnings.filterwarnings("ignore")
        weights = TfidfTransformer().fit(self.counts[train])
        features, tested = weights.transform(self.counts[train]), weights.transform(self.counts[test])
        chances = []
        for model in ("mixtral", "gpt4"):
            fit = LogisticRegressionCV(Cs=[0.3, 1, 3, 10], cv=5, scoring="neg_log_loss", max_iter=500)
            fit.fit(features, [rows[i][model] for i in train])
            chances.append(fit.predict_proba(tested)[:, 1])
        return chances[1] - chances[0]


def baseline_available():
    try:
        import sklearn  # noqa: F401
        return True
    except ImportError:
        return False


class Bench:
    def __init__(self, arguments):
        self.tack = str(pathlib.Path(arguments.tack).resolve())
        self.dir = pathlib.Path(arguments.dir).resolve()
        self.dir.mkdir(parents=True, exist_ok=True)
        self.encoders = arguments.encoders

    def encoder(self, name):
        return ["--encoder", "none"] if name == "none" else []

    def write(self, name, make):
        """A data file of this name, made once."""
        path = self.dir / name
        if not path.exists():
            text = "".join(json.dumps(row) + "\n" for row in make())
            path.with_suffix(".tmp").write_text(text, encoding="utf-8")
            path.with_suffix(".tmp").rename(path)
        return path

    def run(self, *arguments):
        done = subprocess.run([self.tack, "route", *map(str, arguments)], text=True, stdout=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"tack route {' '.join(map(str, arguments))}: exit code {done.returncode}")
        return done.stdout

    def result(self, name, *arguments):
        """The JSON that `arguments` print."""
        path = self.dir / f"{name}.json"
        if not path.exists():
            print(name, file=sys.stderr)
            path.write_text(self.run(*arguments, "--json"), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))

    def parts(self, name, rows):
        """The files of the folds."""
        return [self.write(f"{name}.{part}.jsonl", lambda: [row for row in rows() if fold(row["prompt"]) in folds])
                for part, folds in (("train", (0, 1, 2)), ("calibration", (3,)), ("test", (4,)))]

    def router(self, name, *arguments):
        path = self.dir / f"{name}.gguf"
        if not path.exists():
            print(path.name, file=sys.stderr)
            self.run("train", *arguments, "-o", path)
        return path

    def mmlu_router(self, encoder):
        train, calibration, test = self.parts("mmlu", mmlu)
        return self.router(f"mmlu.{encoder}", "--data", train, "--calibration", calibration, "--test", test, *PAIR,
                           *self.encoder(encoder))

    def with_baseline(self, name, rows):
        """All rows with the cross-fitted gains of the hashed baseline in a column."""
        def make():
            own = rows()
            if not baseline_available():
                print("no scikit-learn: no hashed baseline", file=sys.stderr)
                return [{**row, "hashed": 0} for row in own]
            hashed = Hashed([row["prompt"] for row in own])
            folds = [fold(row["prompt"]) for row in own]
            gains = [0.0] * len(own)
            for k in range(5):
                train = [i for i, f in enumerate(folds) if f != k]
                test = [i for i, f in enumerate(folds) if f == k]
                for i, gain in zip(test, hashed.gains(own, train, test)):
                    gains[i] = float(gain)
            return [{**row, "hashed": gain} for row, gain in zip(own, gains)]
        return self.write(f"{name}.all.jsonl", make)


def interval(e, scale=1.0, digits=3):
    return f"{scale * e['value']:.{digits}f} [{scale * e['low']:.{digits}f}, {scale * e['high']:.{digits}f}]"


def pair_line(name, pair):
    return (f"| {name} | {interval(pair['apgr'])} | {interval(pair['cpt50'], 100, 1)} | "
            f"{interval(pair['cpt80'], 100, 1)} |")


def baseline_lines(pair, router):
    """Other rankings, and how far `router` is ahead of them."""
    names = {"prompt length": "prompt length", "against": "hashed baseline"}
    for key, name in names.items():
        if key in pair["baselines"]:
            own = pair["baselines"][key]
            print(f"| {name} | {own['apgr']:.3f}; {router} ahead by {interval(own['ahead'])} | "
                  f"{100 * own['cpt50']:.1f} | {100 * own['cpt80']:.1f} |")


HEAD = "| | APGR | CPT50, % | CPT80, % |\n|---|---|---|---|"


def run_mmlu(bench):
    print(f"\n### MMLU, the test fold\n\n{HEAD}")
    test = bench.parts("mmlu", mmlu)[2]
    for encoder in bench.encoders:
        result = bench.result(f"mmlu.{encoder}.test", "eval", "--router", bench.mmlu_router(encoder), "--data", test)
        print(pair_line(f"router, {encoder}", result["pair"]))
        baseline_lines(result["pair"], encoder)
        routed = result["routed"]
        print(f"\nat its own policy: kept {interval(routed['kept'], 100, 1)} % of GPT-4's quality with "
              f"{100 * routed['strong_share']:.1f} % strong calls; calibration error "
              f"{', '.join(format(100 * m['calibration_error'], '.1f') for m in result['models'])} %\n")
    print(f"\n### MMLU, 5-fold over all rows\n\n{HEAD}")
    everything = bench.with_baseline("mmlu", mmlu)
    for encoder in bench.encoders:
        result = bench.result(f"mmlu.{encoder}.crossfit", "eval", "--cross-fit", 5, "--data", everything, *PAIR,
                              "--against", "hashed", *bench.encoder(encoder))
        print(pair_line(f"router, {encoder}", result["pair"]))
        baseline_lines(result["pair"], encoder)


def run_labels(bench):
    print(f"\n### MMLU, {LABELS} labels, the test fold\n\n| seed of the rows | " +
          " | ".join(f"APGR, {encoder}" for encoder in bench.encoders) + " |\n|---|" + "---|" * len(bench.encoders))
    train, calibration, test = bench.parts("mmlu", mmlu)
    means = {encoder: 0.0 for encoder in bench.encoders}
    for seed in SEEDS:
        def few(seed=seed):
            rows = [json.loads(line) for line in train.read_text(encoding="utf-8").splitlines()]
            return random.Random(seed).sample(rows, LABELS)
        rows = bench.write(f"mmlu.few.{seed}.jsonl", few)
        cells = []
        for encoder in bench.encoders:
            router = bench.router(f"mmlu.few.{seed}.{encoder}", "--data", rows, "--calibration", calibration, "--test",
                                  test, *PAIR, *bench.encoder(encoder))
            pair = bench.result(f"mmlu.few.{seed}.{encoder}.test", "eval", "--router", router, "--data", test)["pair"]
            means[encoder] += pair["apgr"]["value"] / len(SEEDS)
            cells.append(interval(pair["apgr"]))
        print(f"| {seed} | {' | '.join(cells)} |")
    print(f"| mean | {' | '.join(format(mean, '.3f') for mean in means.values())} |")


def run_floor(bench):
    """Rows that did not train, halved over and over."""
    print("\n### The floor: 100 resplits of the rows that did not train\n\n"
          "| encoder | floor | kept in | mean kept, % | least, % | strong calls, % |\n|---|---|---|---|---|---|")
    _, calibration, test = bench.parts("mmlu", mmlu)
    for encoder in bench.encoders:
        for floor in FLOORS:
            r = bench.result(f"mmlu.{encoder}.floor.{floor}", "eval", "--router", bench.mmlu_router(encoder), "--data",
                             calibration, "--data", test, "--resplits", 100, "--target-quality", floor)
            print(f"| {encoder} | {100 * floor:.0f} % | {r['target_kept']} of 100 | {100 * r['kept']:.1f} | "
                  f"{100 * r['least_kept']:.1f} | {100 * r['strong_share']:.1f} |")


def run_shares(bench):
    print("\n### Realised share of strong calls, the test fold\n\n| encoder | " +
          " | ".join(f"{100 * share:.0f} %" for share in SHARES) + " | largest difference |\n|---|" +
          "---|" * (len(SHARES) + 1))
    test = bench.parts("mmlu", mmlu)[2]
    for encoder in bench.encoders:
        got = [bench.result(f"mmlu.{encoder}.share.{share}", "eval", "--router", bench.mmlu_router(encoder), "--data",
                            test, "--strong-share", share)["routed"]["strong_share"] for share in SHARES]
        worst = max(abs(a - b) for a, b in zip(got, SHARES))
        print(f"| {encoder} | {' | '.join(format(100 * share, '.1f') for share in got)} | {100 * worst:.1f} |")


def run_gsm8k(bench):
    print(f"\n### GSM8K, 5-fold cross-fitted over all 1,319\n\n{HEAD}")
    everything = bench.with_baseline("gsm8k", gsm8k)
    for encoder in bench.encoders:
        result = bench.result(f"gsm8k.{encoder}", "eval", "--cross-fit", 5, "--data", everything, *PAIR, "--against",
                              "hashed", *bench.encoder(encoder))
        print(pair_line(f"router, {encoder}", result["pair"]))
        baseline_lines(result["pair"], encoder)


def run_nine(bench):
    print("\n### Nine models\n")
    train, calibration, test = bench.parts("nine", nine)
    prices = ",".join(f"{model}={price}:{price}" for model, price in NINE.items())
    for encoder in bench.encoders:
        router = bench.router(f"nine.{encoder}", "--data", train, "--calibration", calibration, "--test", test,
                              "--models", ",".join(NINE), "--strong", "llama-3.1-nemotron-51b-instruct", "--price",
                              prices, *bench.encoder(encoder))
        result = bench.result(f"nine.{encoder}.test", "eval", "--router", router, "--data", test)
        best = max(result["models"], key=lambda model: model["quality"])
        print(f"{encoder}: best single model {best['name']}, {100 * best['quality']:.2f} %; hindsight "
              f"{100 * result['hindsight']['quality']:.2f} % at {100 * result['hindsight']['cost']:.1f} % of the cost\n")
        print("| cost of the dearest model, % | router, % | single models mixed, % |\n|---|---|---|")
        last = 2.0
        for step in result["frontier"]:
            if step["cost"] <= last - 0.08:
                last = step["cost"]
                print(f"| {100 * step['cost']:.1f} | {100 * step['quality']:.2f} | {100 * step['mixed']:.2f} |")
        enough = [step for step in result["frontier"] if step["quality"] >= best["quality"]]
        routed = result["routed"]
        if enough:
            print(f"\nthe best single model's quality for {100 * min(s['cost'] for s in enough):.1f} % of its cost")
        print(f"\nat its own policy (95 % of that model's quality): kept {interval(routed['kept'], 100, 1)} %, "
              f"cost {100 * routed['cost']:.1f} %\n")


def run_times(bench):
    print("\n### Time of a decision, MMLU's test fold, each prompt alone\n\n| | p50 | p99 |\n|---|---|---|")
    test = bench.parts("mmlu", mmlu)[2]
    for encoder in bench.encoders:
        result = bench.result(f"mmlu.{encoder}.times", "eval", "--router", bench.mmlu_router(encoder), "--data", test)
        own = result["decision_us"]
        print(f"| router, {encoder} | {own['p50']:.0f} us | {own['p99']:.0f} us |")
        if "decision_with_encoder_us" in result:
            both = result["decision_with_encoder_us"]
            print(f"| with the embedding | {both['p50'] / 1000:.2f} ms | {both['p99'] / 1000:.2f} ms |")


def main():
    runs = {"mmlu": run_mmlu, "labels": run_labels, "floor": run_floor, "shares": run_shares, "gsm8k": run_gsm8k,
            "nine": run_nine, "times": run_times}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--tack", default="build/tack")
    parser.add_argument("--only", nargs="+", choices=list(runs), default=list(runs))
    parser.add_argument("--encoders", nargs="+", choices=["shipped", "none"], default=["shipped", "none"])
    arguments = parser.parse_args()
    if not (DATA / "routellm").is_dir():
        sys.exit(f"no {DATA}/routellm: set TACK_DATA")
    sys.stdout.reconfigure(line_buffering=True)
    bench = Bench(arguments)
    for name in arguments.only:
        runs[name](bench)


if __name__ == "__main__":
    main()
