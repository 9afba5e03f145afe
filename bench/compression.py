#!/usr/bin/env python3
"""What compression does to a task model: the frontier of size and quality, and each technique's part.

    bench/compression.py DIR [--tasks banking77 clinc150] [--seeds 1 2 3] [--tack build/tack]

For the first seed: a teacher (all-MiniLM-L6 with all weights trained, f16), then `tack compress
--all` with 6, 3, 2 and 1 layers, whose choice is the best within the task's budget. For each seed:
the models of one point, three layers in q4_0 with the tokens that the task needs, each without one
of the techniques. Every candidate of the frontier and every model of that point is measured on the
test rows, after all choices were made on the validation rows. Models and results stay in DIR; what
is there is not made again. Prints Markdown tables.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEST = {"banking77": "banking77/test.csv", "clinc150": "clinc150/data_oos_plus.json#test+oos_test"}
LABELS = {"banking77": ["--text", "text", "--label", "category"],
          "clinc150": ["--text", "text", "--label", "label", "--oos-label", "oos"]}
BUDGET = {"banking77": "8MB", "clinc150": "10MB"}
POINT = 3    # layers
REFUSED = 5  # the exit code of a gate that refused


class Runs:
    """The models and measurements of one task and seed."""

    def __init__(self, arguments, task, seed, whole):
        self.tack = str(pathlib.Path(arguments.tack).resolve())
        self.dir = pathlib.Path(arguments.dir).resolve()
        self.task, self.seed, self.budget = task, seed, BUDGET[task]
        self.whole = whole  # the frontier, not only the point
        self.test = f"{os.environ['TACK_DATA']}/{TEST[task]}"
        self.toml = str(ROOT / "tasks" / f"{task}-student.toml")
        self.prefix = self.dir / f"{task}.{seed}"
        self.teacher = pathlib.Path(f"{self.prefix}.teacher.gguf")
        self.search = pathlib.Path(f"{self.prefix}.small.gguf.search")

    def output(self, *arguments):
        done = subprocess.run([self.tack, *map(str, arguments)], text=True, stdout=subprocess.PIPE)
        if done.returncode not in (0, REFUSED):
            sys.exit(f"tack {' '.join(map(str, arguments))}: exit code {done.returncode}")
        return done.stdout

    def make(self, path, *arguments):
        """`arguments` make `path`."""
        if not pathlib.Path(path).exists():
            print(pathlib.Path(path).name, file=sys.stderr)
            self.output(*arguments)

    def result(self, name, *arguments):
        """The JSON that `arguments` print."""
        path = pathlib.Path(f"{self.prefix}.{name}.json")
        if not path.exists():
            print(path.name, file=sys.stderr)
            text = self.output(*arguments, "--json")
            path.with_suffix(".tmp").write_text(text)
            path.with_suffix(".tmp").rename(path)
        return json.loads(path.read_text())

    def task_file(self, name, drop):
        """The task's file without the lines for which `drop(section, line)` holds."""
        lines, section = [], ""
        for line in pathlib.Path(self.toml).read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[] ")
            if not drop(section, line):
                lines.append(line)
        path = self.dir / f"{self.task}.{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def run(self):
        plain = self.task_file("plain", lambda section, _: section in ("student", "teacher"))
        seed = ["--set", f"train.seed={self.seed}"]
        self.make(self.teacher, "build", plain, "-o", self.teacher, "--set", "model.type=f16",
                  "--set", "gate.floor=0", *seed)
        search = (["--budget", self.budget, "--layers", "6,3,2,1", "--types", "int8,q4_0"] if self.whole
                  else ["--max-drop", "2", "--layers", f"6,{POINT}", "--ffn", "1536",
                        "--types", "q4_0"])
        self.found = self.result(
            "search", "compress", self.teacher, "--task", self.toml, "--all", "--keep", *search, "-o",
            f"{self.prefix}.small.gguf", *seed)
        self.points = {one["recipe"]: self.measure(name, one["bytes"]) for one in
                       self.found["candidates"] if (name := self.file_of(one)) and
                       (one["frontier"] or self.at_point(one))}
        self.original = self.measure(self.teacher, self.teacher.stat().st_size)
        self.ablation = self.ablate(seed)

    @staticmethod
    def at_point(candidate):
        """Whether it is of the point that the ablation is about: the layers there, all as wide."""
        return candidate["layers"] == POINT and not candidate["ffn"]

    def file_of(self, candidate):
        """The file that the search left of a candidate."""
        name = (f"{candidate['layers']}" + (f"-ffn{candidate['ffn']}" if candidate["ffn"] else "") +
                f"-{candidate['type']}" + ("-trained" if candidate["trained_type"] else "") +
                (f"-{candidate['tokens']}" if candidate["tokens"] else ""))
        return next(iter(sorted(self.search.glob(name + "*.gguf"), key=lambda p: len(p.name))), None)

    def measure(self, model, size):
        model = pathlib.Path(model)
        json_ = self.result(f"test.{model.stem}", "eval", model, self.test, *LABELS[self.task])
        scope = json_.get("out_of_scope")
        return {"bytes": size, "quality": scope["accuracy"]["value"] if scope else json_["accuracy"]}

    def ablate(self, seed):
        tokens = min(one["tokens"] for one in self.found["candidates"] if self.at_point(one) and one["tokens"])
        student = self.search / f"{POINT}.gguf"

        def made(name, start, kind):
            """`start` in a type, with the task's tokens."""
            whole, cut = f"{self.prefix}.{name}.whole.gguf", f"{self.prefix}.{name}.gguf"
            if kind == "as it is":
                whole = start
            elif kind == "rtn":
                self.make(whole, "convert", start, whole, "--type", "q4_0")
            else:
                self.make(whole, "quantize", start, "-o", whole, "--type", "q4_0", "--method", "gptq",
                          "--data", self.train_texts())
            self.make(cut, "prune", whole, "--keep-tokens-of", self.train_texts(), "--vocabulary",
                      tokens, "-o", cut)
            return self.measure(cut, pathlib.Path(cut).stat().st_size)

        taught = self.task_file("taught", lambda section, line: section == "teacher" and
                                line.startswith(("epochs", "rate")))

        def student_with(name, *settings):
            path = pathlib.Path(f"{self.prefix}.{name}-student.gguf")
            self.make(path, "build", taught, "-o", path, "--set", "gate.floor=0", "--set",
                      f"teacher.model={self.teacher}", *settings, *seed)
            return path

        labels = student_with("labels", "--set", "model.type=f16", "--set", "teacher.labels=1")
        trained = student_with("trained", "--set", "train.quantize=q4_0")
        point = f"{POINT} layers, q4_0, {tokens} tokens"
        return {
            "all of them": self.points[point],
            "the student trained in q4_0, instead of GPTQ": made("trained", trained, "as it is"),
            "all six layers": self.measure(self.search / f"6-q4_0-{tokens}.gguf",
                                           (self.search / f"6-q4_0-{tokens}.gguf").stat().st_size),
            "all tokens": self.points[f"{POINT} layers, q4_0"],
            "f16 instead of q4_0": made("f16", student, "as it is"),
            "q4_0 rounded, without GPTQ": made("rtn", student, "rtn"),
            "without a teacher (labels alone)": made("labels", labels, "gptq"),
        }

    def train_texts(self):
        """The training texts, one a line."""
        path = self.dir / f"{self.task}.train.txt"
        if not path.exists():
            if self.task == "banking77":
                import csv
                with open(f"{os.environ['TACK_DATA']}/banking77/train.csv", newline="", encoding="utf-8") as file:
                    texts = [row["text"] for row in csv.DictReader(file)]
            else:
                with open(f"{os.environ['TACK_DATA']}/clinc150/data_oos_plus.json", encoding="utf-8") as file:
                    rows = json.load(file)
                texts = [text for part in ("train", "oos_train") for text, _ in rows[part]]
            path.write_text("\n".join(text.replace("\n", " ") for text in texts) + "\n")
        return path


def mean(values):
    return sum(values) / len(values)


def spread(values):
    text = f"{100 * mean(values):.2f} %"
    if len(values) > 1:
        text += f" ({100 * min(values):.2f} to {100 * max(values):.2f})"
    return text


def report(task, runs):
    first = runs[0]
    print(f"\n{task}, seed {first.seed}, {first.found['measure']}\n")
    print("| | size | validation | test | p50 | texts/s |\n|---|---|---|---|---|---|")

    def line(name, candidate, test):
        print(f"| {name} | {candidate['bytes'] / 1e6:.2f} MB | {100 * candidate['quality']:.2f} % |"
              f" {100 * test['quality']:.2f} % | {candidate['p50_us'] / 1e3:.2f} ms |"
              f" {candidate['texts_per_second']:,.0f} |")

    line("original", first.found["original"], first.original)
    for one in sorted(first.found["candidates"], key=lambda c: -c["bytes"]):
        if one["frontier"]:
            line(one["recipe"], one, first.points[one["recipe"]])
    print(f"\nchosen: {first.found['chosen']['recipe']}, {first.found['chosen']['bytes']} bytes;"
          f" gate {first.found['gate']['text']}; {first.found['seconds']:.0f} s")
    print(f"\n| {POINT} layers in q4_0 without one of the techniques, seeds {[run.seed for run in runs]} |"
          " size | test |\n|---|---|---|")
    for name in first.ablation:
        each = [run.ablation[name] for run in runs]
        print(f"| {name} | {mean([one['bytes'] for one in each]) / 1e6:.2f} MB |"
              f" {spread([one['quality'] for one in each])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--tasks", nargs="+", default=["banking77", "clinc150"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--tack", default=ROOT / "build" / "tack")
    arguments = parser.parse_args()
    os.environ.setdefault("TACK_DATA", str(ROOT.parent / "shared" / "data"))
    os.environ.setdefault("TACK_HOME", str(ROOT))
    pathlib.Path(arguments.dir).mkdir(parents=True, exist_ok=True)
    for task in arguments.tasks:
        done = []
        for seed in arguments.seeds:
            done.append(Runs(arguments, task, seed, whole=seed == arguments.seeds[0]))
            done[-1].run()
        report(task, done)


main()
