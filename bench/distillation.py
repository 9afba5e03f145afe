"""The summary of bench/distillation: accuracies over seeds, and paired differences."""
import json
import pathlib
import random
import subprocess
import sys

tack, directory, task, data = sys.argv[1:]
directory = pathlib.Path(directory)
SEEDS = (1, 2, 3)


def results(name):
    return [json.loads((directory / f"{task}.{name}.{s}.json").read_text()) for s in SEEDS]


def spread(values, unit=" %"):
    return (f"{sum(values) / len(values):.2f}{unit}"
            f" ({min(values):.2f} to {max(values):.2f})")


def right(model):
    """Per in-scope test row, whether the model's first answer is right."""
    source = (f"{data}/banking77/test.csv" if task == "banking77"
              else f"{data}/clinc150/data_oos_plus.json#test")
    lines = subprocess.run([tack, "classify", model, source, "--json"], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    answers = [json.loads(line)["label"] for line in lines]
    if task == "banking77":
        import csv
        with open(source, newline="", encoding="utf-8") as file:
            truth = [row["category"] for row in csv.DictReader(file)]
    else:
        with open(source.split("#")[0], encoding="utf-8") as file:
            truth = [label for _, label in json.load(file)["test"]]
    assert len(truth) == len(answers)
    return [a == t for a, t in zip(answers, truth)]


print(f"\n{task}: test accuracy, mean and range over seeds {SEEDS}")
teachers = [100 * r["teacher"]["accuracy"] for r in results("student")]
print(f"  teacher                     {spread(teachers)}")
for name, text in (("student", "student"), ("labels", "its layers, labels alone"),
                   ("alone", "base's layers, labels alone")):
    accuracies = [100 * r["accuracy"] for r in results(name)]
    kept = [100 * a / t for a, t in zip(accuracies, teachers)]
    line = f"  {text:<27} {spread(accuracies)}; of the teacher {spread(kept)}"
    if "out_of_scope" in results(name)[0]:
        line += ("; all rows " +
                 spread([100 * r["out_of_scope"]["accuracy"]["value"] for r in results(name)]))
    print(line)
seconds = [r["seconds"] for r in results("student")]
print(f"  from rows to gated student  {spread(seconds, ' s')}")
rng = random.Random(1)
student = [right(str(directory / f"{task}.student.{s}.gguf")) for s in SEEDS]
for name, text in (("labels", "its layers, labels alone"), ("alone", "base's layers, labels alone")):
    other = [right(str(directory / f"{task}.{name}.{s}.gguf")) for s in SEEDS]
    # Rows are resampled, each with its answers of all seeds.
    each = [sum(a[i] - b[i] for a, b in zip(student, other)) / len(SEEDS)
            for i in range(len(student[0]))]
    means = sorted(sum(rng.choices(each, k=len(each))) / len(each) for _ in range(2000))
    print(f"  student - {text:<27} {100 * sum(each) / len(each):+.2f} points"
          f" [{100 * means[50]:+.2f}, {100 * means[1949]:+.2f}]")
