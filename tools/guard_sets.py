#!/usr/bin/env python3
"""Rows that tasks/guard.toml learns from, and the tests that bench/guard.py opens.

    tools/guard_sets.py OUT [--without SOURCE...] [--seed 1]

Reads TACK_DATA (default: ../shared/data beside the repository) and tasks/data/guard, writes OUT/guard:
  harm-*.csv, injection-*.csv   text, label, source, template; * is train, validation (chooses the epoch,
                                calibrates) or dev (choices and thresholds). Both have templates that
                                train has not: on its own templates a model is too sure to calibrate
  heldout-SOURCE.csv            the rows of a source that --without keeps out of training (advbench,
                                strongreject, malicious, forbidden, openers, jailbreaks, davidson)
  tests/NAME.csv                text, label (harm or benign), type: never trained on
BANKING77, CLINC150, HarmBench, the injections file and Alpaca's harmless rows are read for the tests
alone, and every training row that resembles one of their rows, or a look-alike of
tasks/data/guard/lookalikes.txt, is left out. What was kept is printed.
"""
import argparse
import collections
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import guard_sources as sources  # noqa: E402
import guard_texts  # noqa: E402
from guard_sources import digest, tidy  # noqa: E402
from guard_texts import CATEGORIES, Row  # noqa: E402
from prepare_sets import shingles, write  # noqa: E402

SOURCES = ("advbench", "strongreject", "malicious", "forbidden", "davidson", "openers", "jailbreaks")


class Near:
    """Finds whether a text resembles one of many: half of the pairs of neighbouring words of both together
    are shared. Only the rarer half of a text's pairs has to be looked up."""

    def __init__(self, texts, similarity=0.5):
        self.similarity = similarity
        self.sets = [shingles(text) for text in texts]
        self.often = collections.Counter(shingle for one in self.sets for shingle in one)
        self.where = collections.defaultdict(list)
        for i, one in enumerate(self.sets):
            for shingle in self.rare(one):
                self.where[shingle].append(i)

    def rare(self, one):
        ordered = sorted(one, key=lambda shingle: (self.often[shingle], shingle))
        return ordered[:len(ordered) - int(self.similarity * len(ordered) - 1e-9)]

    def find(self, text):
        one = shingles(text)
        for i in {i for shingle in self.rare(one) for i in self.where.get(shingle, ())}:
            common = len(one & self.sets[i])
            if common and common >= self.similarity * (len(one) + len(self.sets[i]) - common):
                return i
        return None


def normal(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def write_tests(out, found, trained):
    """Tests without copies within and between them, and without rows near a training source's."""
    near_training, near_harmbench = Near(trained), Near([row[0] for row in found["harmbench"]])
    for name, rows in found.items():
        kept, seen = [], set()
        for row in rows:
            if normal(row[0]) in seen and name != "queries":
                continue
            seen.add(normal(row[0]))
            if name in ("harmful_test", "tdc2023") and near_harmbench.find(row[0]) is not None:
                continue
            if name in ("harmful_test", "tdc2023") and near_training.find(row[0]) is not None:
                continue
            kept.append(row)
        write(out / f"tests/{name}.csv", ("text", "label", "type"), kept)
        print(f"test {name}: {len(rows)} rows, {len(kept)} kept")


def published(without, generator):
    """Rows of the published lists: (head, Row). Those of `without` are of part "heldout". A harmful request
    that is trained comes a second time among other words."""
    for name in SOURCES:
        for text, label in getattr(sources, name)():
            luck = digest(text) % 12
            part = "heldout" if name in without else "validation" if luck == 0 else "train"
            yield "injection" if name == "jailbreaks" else "harm", Row(text.strip(), label, name, name, part)
            if part == "train" and label in CATEGORIES and name != "davidson":
                yield "harm", Row(generator.again(text.strip()), label, name, name, part)


# How many rows are made: chosen on development rows (docs/decisions.md).
MADE = {"harmful": 8000, "harmless": 9000, "about": 2000, "instructions": 2500, "direct": 6000, "discussed": 3200,
        "roles": 700, "indirect": 2200}


def everything(seed, without):
    """All rows before duplicates are left out: (heads, Row)."""
    generator = guard_texts.Generator(seed)
    for head, row in published(without, generator):
        yield (head,), row
        if row.label == "safe" and head == "harm":
            yield ("injection",), row._replace(label="none")
    texts, pool = sources.benign(seed)
    for source, some in texts.items():
        for text in some:
            luck = digest(text) % 24
            yield ("harm", "injection"), Row(text, "safe", source, source, "dev" if luck < 2 else
                                             "validation" if luck < 3 else "train")
    paragraphs = {dev: [tidy(text, 70) for text in pool["paragraph"] if (digest(text) % 6 == 0) == dev]
                  for dev in (False, True)}
    both, rng = ("harm", "injection"), generator.random
    questions = [text for some in ("snips", "llmrouter", "squad-question") for text in texts[some]
                 if len(text.split()) < 30]
    for dev in (False, True):
        share = 8 if dev else 1
        for row in generator.requests(MADE["harmful"] // share, True, dev):
            yield ("harm",), row
        for row in generator.requests(MADE["harmless"] // share, False, dev):
            yield both, row
        for row in generator.about(MADE["about"] // share, dev):
            yield both, row
        for row in generator.direct(MADE["direct"] // share, dev, lambda: rng.choice(questions)):
            yield ("injection",), row
        for row in generator.discussed(MADE["discussed"] // share, dev):
            yield both, row
        for row in generator.roles(MADE["roles"] // share, dev, lambda: rng.choice(questions)):
            yield both, row
        for row in generator.indirect(MADE["indirect"] // share, dev, paragraphs):
            yield ("injection",) if row.label == "indirect" else both, row
    for row in sources.instructions(pool, MADE["instructions"], generator):
        yield both, row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--without", nargs="*", default=[], choices=SOURCES)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    out = options.out / "guard"
    found = sources.tests()
    forbidden_texts = Near([row[0] for name in ("harmbench", "alpaca", "injections", "queries", "lookalikes")
                            for row in found[name]])
    heads = {"harm": collections.OrderedDict(), "injection": collections.OrderedDict()}
    left, verdicts = collections.Counter(), {}
    for names, row in everything(options.seed, options.without):
        key = normal(row.text)
        if not key:
            continue
        if key not in verdicts:
            verdicts[key] = forbidden_texts.find(row.text) is not None
        if verdicts[key]:
            left[row.source] += 1
            continue
        if row.part == "train" and row.source.startswith("generated") and digest(row.text) % 50 == 0 or \
                row.part == "dev" and digest(row.text) % 4 == 0:
            row = row._replace(part="validation")
        for name in names:
            label = {"safe": "none"}.get(row.label, row.label) if name == "injection" else \
                {"none": "safe"}.get(row.label, row.label)
            heads[name].setdefault(key, row._replace(label=label))
    trained = [row.text for row in heads["harm"].values() if row.part != "heldout" and
               row.source in ("advbench", "strongreject", "malicious", "forbidden")]
    held = collections.defaultdict(list)
    for name, rows in heads.items():
        parts = collections.defaultdict(list)
        for row in rows.values():
            (held[row.source] if row.part == "heldout" else parts[row.part]).append(row[:4])
        for part, some in sorted(parts.items()):
            write(out / f"{name}-{part}.csv", Row._fields[:4], sorted(some, key=lambda row: digest(row[0])))
            counts = collections.Counter(row[1] for row in some)
            print(f"{name}-{part}: {len(some)} rows, {sum(len(row[0].split()) for row in some)} words; " +
                  ", ".join(f"{counts[label]} {label}" for label in ("safe", "none", "direct", "indirect") + CATEGORIES
                            if counts[label]))
    near_trained = Near(trained)
    for source, rows in held.items():
        rows = [row for row in rows if near_trained.find(row[0]) is None]
        write(out / f"heldout-{source}.csv", Row._fields[:4], rows)
        print(f"heldout-{source}: {len(rows)} rows")
    print("left out as they resemble a test row or a look-alike: " +
          ", ".join(f"{count} {source}" for source, count in left.most_common()))
    write_tests(out, found, trained)


if __name__ == "__main__":
    main()
