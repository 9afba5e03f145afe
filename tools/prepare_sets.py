#!/usr/bin/env python3
"""Rearranges public data sets into rows that `tack build` reads.

    tools/prepare_sets.py OUT [SET...]        sets: sentfin phrasebank notes (all)

Reads TACK_DATA (default: ../shared/data beside the repository), writes OUT/SET/*.csv and prints what
was kept and what was left out. The task files name OUT as ${TACK_SETS}. What each function does to
its set stands in its docstring.
"""
import collections
import csv
import hashlib
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("TACK_DATA", ROOT / "../shared/data"))


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(header)
        out.writerows(rows)


def digest(text):
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest(), 16)


def once(rows):
    """Each text once; a text that has several labels is left out. Returns rows and two counts."""
    labels = collections.defaultdict(set)
    for text, *rest in rows:
        labels[text].add(rest[0])
    kept = {row[0]: row for row in reversed(rows) if len(labels[row[0]]) == 1}
    conflicts = sum(1 for row in rows if len(labels[row[0]]) > 1)
    return sorted(kept.values(), key=lambda row: row[0]), len(rows) - conflicts - len(kept), conflicts


def shingles(text):
    """Pairs of neighbouring words of the normalised text: lower case, numbers are one symbol, no
    punctuation."""
    words = re.findall(r"[^\W\d_]+|#", re.sub(r"\d[\d.,]*", " # ", text.lower()))
    return frozenset(zip(words, words[1:])) or frozenset(words)


def near_duplicates(texts, similarity=0.5):
    """Pairs (i, j), i < j, of texts whose shingles have at least this Jaccard similarity."""
    sets = [shingles(text) for text in texts]
    where = collections.defaultdict(list)
    for j, one in enumerate(sets):
        common = collections.Counter(i for shingle in one for i in where[shingle])
        for i, count in common.items():
            if count >= similarity * (len(one) + len(sets[i]) - count):
                yield i, j
        for shingle in one:
            where[shingle].append(j)


def groups(texts):
    """For each text the number of its group: near-duplicates, and theirs, are in one group."""
    parent = list(range(len(texts)))

    def root(i):
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, j in near_duplicates(texts):
        parent[root(j)] = root(i)
    return [root(i) for i in range(len(texts))]


def sentfin(out):
    """SEntFiN has a sentiment for each company a headline names. A headline's own: what its companies
    share; "neutral" beside one other sentiment yields to it ("Sun Pharma looks attractive: HSBC" is
    positive for one and neutral for the source). Positive and negative together: left out. Divided by
    sha256 of the headline mod 5: 0 to 2 train, 3 validation, 4 test. `companies` says whether they
    agree."""
    # Not a literal of Python: names with apostrophes are not escaped.
    sentiment = re.compile(r"': '(positive|neutral|negative)'")
    rows, opposed = [], 0
    with open(DATA / "sentfin/SEntFiN.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            said = set(sentiment.findall(row["Decisions"]))
            opinions = said - {"neutral"}
            if len(opinions) > 1:
                opposed += 1
                continue
            label = opinions.pop() if opinions else "neutral"
            rows.append((row["Title"].strip(), label, "agree" if len(said) == 1 else "mixed"))
    total = len(rows) + opposed
    rows, copies, conflicts = once(rows)
    parts = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[("train", "train", "train", "validation", "test")[digest(row[0]) % 5]].append(row)
    train = len(parts["train"])
    near = {j for i, j in near_duplicates([row[0] for row in parts["train"] + parts["test"]])
            if i < train <= j}
    for name, part in parts.items():
        write(out / f"sentfin/{name}.csv", ("text", "label", "companies"), part)
    print(f"sentfin: {total} headlines; left out: {opposed} positive and negative at once, {copies} "
          f"copies, {conflicts} that stand there with two sentiments; {len(rows)} kept, "
          f"{sum(row[2] == 'mixed' for row in rows)} of them neutral for some company; "
          + ", ".join(f"{len(part)} {name}" for name, part in parts.items())
          + f"; {len(near)} test headlines resemble a training headline")


def phrasebank(out):
    """Financial PhraseBank (sentences on which at least half of the annotators agree): all.csv, and ten
    folds, train-K.csv and test-K.csv. Sentences that resemble each other (see near_duplicates) are in
    one fold. Groups go round by the label of their first sentence, so that folds have similar shares.
    The licence allows no commercial use: to measure with, not to ship."""
    raw = (DATA / "phrasebank/Sentences_50Agree.txt").read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:  # as the original is distributed
        text = raw.decode("latin-1")
    rows = [tuple(line.strip().rsplit("@", 1)) for line in text.splitlines() if line.strip()]
    total = len(rows)
    rows, copies, conflicts = once(rows)
    group = groups([row[0] for row in rows])
    members = collections.defaultdict(list)
    for row, number in zip(rows, group):
        members[number].append(row)
    sizes = {label: [0] * 10 for label in ("negative", "neutral", "positive")}
    folds = [[] for _ in range(10)]
    # Large groups first, into the fold that has least of their label.
    for some in sorted(members.values(), key=lambda some: (-len(some), digest(some[0][0]))):
        size = sizes[some[0][1]]
        fold = size.index(min(size))
        folds[fold] += some
        for _, label in some:
            sizes[label][fold] += 1
    write(out / "phrasebank/all.csv", ("text", "label"), rows)
    for k, test in enumerate(folds):
        write(out / f"phrasebank/test-{k}.csv", ("text", "label"), sorted(test))
        write(out / f"phrasebank/train-{k}.csv", ("text", "label"),
              sorted(row for fold in folds if fold is not test for row in fold))
    together = sum(len(some) for some in members.values() if len(some) > 1)
    print(f"phrasebank: {total} sentences; left out: {copies} copies, {conflicts} that stand there with "
          f"two labels; {len(rows)} kept, {together} of them in {sum(len(s) > 1 for s in members.values())}"
          f" groups of near-duplicates, the largest of {max(map(len, members.values()))}; folds of "
          + ", ".join(str(len(fold)) for fold in folds))


# Headings of the notes, as their authors write them, by section.
SECTIONS = {
    "chief_complaint": ("CHIEF COMPLAINT", "CC"),
    "history_of_present_illness": ("HISTORY OF PRESENT ILLNESS", "HPI", "SUBJECTIVE"),
    "past_history": ("PAST HISTORY", "MEDICAL HISTORY", "SURGICAL HISTORY", "FAMILY HISTORY",
                     "SOCIAL HISTORY", "PAST MEDICAL HISTORY", "PAST SURGICAL HISTORY",
                     "BIRTH HISTORY"),
    "medications": ("MEDICATIONS", "CURRENT MEDICATIONS", "ALLERGIES"),
    "review_of_systems": ("REVIEW OF SYSTEMS",),
    "physical_exam": ("PHYSICAL EXAM", "PHYSICAL EXAMINATION", "EXAM", "VITALS", "VITALS REVIEWED"),
    "results": ("RESULTS",),
    "assessment_and_plan": ("ASSESSMENT AND PLAN", "ASSESSMENT", "PLAN", "IMPRESSION",
                            "INSTRUCTIONS"),
}
HEADINGS = {heading: section for section, names in SECTIONS.items() for heading in names}


def sentences(line):
    """A line's sentences without what names their section: bullets, numbers, and a heading of up to five
    words before a colon ("Medical Reasoning:", "Cardiovascular:")."""
    line = re.sub(r"^\W*(\d+[.)]\s+)?", "", line.strip())
    line = re.sub(r"^(?:[A-Za-z/-]+\s?){1,5}:\s*", "", line)
    for one in re.split(r"(?<=[a-z0-9)%][.!?])(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bDr\.)\s+(?=[A-Z])",
                        line):
        if len(re.findall(r"[A-Za-z]+", one)) >= 2:
            yield one.strip()


def notes(out):
    """ACI-BENCH: every sentence of the clinical notes with the section it stands in. Notes are divided as
    their authors divided the encounters: train.csv, valid.csv, and the three test sets together. Within
    a part a sentence that occurs twice in one note's section is one row."""
    parts = {"train": ["train"], "validation": ["valid"],
             "test": ["clinicalnlp_taskB_test1", "clinicalnlp_taskC_test2", "clef_taskC_test3"]}
    csv.field_size_limit(1 << 24)
    seen, report = set(), []
    for part, names in parts.items():
        rows, encounters, lost = [], 0, 0
        for name in names:
            with open(DATA / f"aci_bench/{name}.csv", newline="", encoding="utf-8") as file:
                for note in csv.DictReader(file):
                    encounters += 1
                    section, mine = None, []
                    for line in note["note"].splitlines():
                        heading = line.strip().rstrip(":")
                        if heading in HEADINGS:
                            section = HEADINGS[heading]
                            continue
                        for one in sentences(line):
                            if section is None:
                                lost += 1
                            else:
                                mine.append((one, section, f"{name}/{note['encounter_id']}"))
                    rows += dict.fromkeys(mine)
        write(out / f"notes/{part}.csv", ("text", "section", "encounter"), rows)
        text = f"{part} {encounters} notes, {len(rows)} sentences"
        if lost:
            text += f" ({lost} before any heading left out)"
        if part == "train":
            seen = {row[0].lower() for row in rows}
        else:
            text += f" ({sum(row[0].lower() in seen for row in rows)} stand word for word in train)"
        report.append(text)
    print("notes: " + "; ".join(report))


def main():
    sets = {"sentfin": sentfin, "phrasebank": phrasebank, "notes": notes}
    if len(sys.argv) < 2 or any(name not in sets for name in sys.argv[2:]):
        sys.exit(__doc__)
    for name in sys.argv[2:] or sets:
        sets[name](pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    main()
