"""The summary of bench/recipes: quality over seeds or folds."""
import collections
import csv
import json
import pathlib
import sys

directory, task = pathlib.Path(sys.argv[1]), sys.argv[2]


def results(pattern):
    return [json.loads(path.read_text()) for path in sorted(directory.glob(pattern + ".json"))]


def number(result, key):
    value = result[key]
    return 100 * (value["value"] if isinstance(value, dict) else value)


def line(name, some, keys):
    """Mean and range of each key over the results."""
    if not some:
        return
    text = []
    for key, what in keys.items():
        values = [number(one, key) for one in some if key in one]
        if values:
            text.append(f"{what} {sum(values) / len(values):.2f} % ({min(values):.2f} to {max(values):.2f})")
    print(f"  {name:<34} n {len(some)}: {', '.join(text)}")


def majority(path, column):
    with open(path, newline="", encoding="utf-8") as file:
        labels = collections.Counter(row[column] for row in csv.DictReader(file))
    count = labels.most_common(1)[0][1]
    rows = sum(labels.values())
    f1 = 2 * count / (rows + count) / len(labels)
    print(f"  {'always the commonest label':<34} accuracy {100 * count / rows:.2f} %, "
          f"macro F1 {100 * f1:.2f} %")


LABELS = {"accuracy": "accuracy", "macro_f1": "macro F1"}
SPANS = {"accuracy": "intent", "f1": "span F1", "exact": "all right"}
print(f"\n{task}: test rows; mean, in brackets the range")
if task == "snips":
    some = results("snips.[0-9]")
    line("teacher, six layers", [one["teacher"] for one in some], SPANS)
    line("student, three layers", some, SPANS)
elif task == "wnut17":
    line("six layers", results("wnut17.[0-9]"), {"f1": "span F1", "precision": "precision",
                                                "recall": "recall", "exact": "all right"})
elif task == "phrasebank":
    majority(directory / "sets/phrasebank/all.csv", "label")
    line("trained on SEntFiN, six layers", results("phrasebank.by.*[0-9].teacher"), LABELS)
    line("trained on SEntFiN, three layers", results("phrasebank.by.*.[0-9]"), LABELS)
    line("trained on PhraseBank, folds", results("phrasebank.fold.[0-9]"), LABELS)
else:
    column, folder = {"financial-sentiment": ("label", "sentfin"),
                      "clinical-note-sections": ("section", "notes")}[task]
    majority(directory / f"sets/{folder}/test.csv", column)
    line("frozen encoder, logistic head", results(f"{task}.frozen"), LABELS)
    line("teacher, six layers", results(f"{task}.teacher.[0-9]"), LABELS)
    line("student, three layers", results(f"{task}.[0-9]"), LABELS)
