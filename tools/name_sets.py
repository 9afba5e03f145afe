#!/usr/bin/env python3
"""Rows that tasks/names.toml learns from, and the tests of the tagger it makes.

    tools/name_sets.py OUT [--seed 1]

Reads TACK_DATA (default: ../shared/data beside the repository), tasks/data/names and bench/pii, writes
OUT/names, JSON lines of text and spans (person, organization, location):
  train.jsonl        WNUT 17 training posts, restaurant8k, questions without names, texts of our templates
  validation.jsonl   chooses the epoch: half of WNUT 17's development posts, and our templates that train
                     has not, with names that train has not
  dev.jsonl          choices are made on it: the other halves
  tests/*.jsonl      wnut17 (its official test) and generator (the test half of bench/pii): opened once
Of bench/pii only the development half is read for the first three, and no name, street, city or organisation of
its test half is in our lists. What was kept is printed.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "bench/pii")]
import corpus  # noqa: E402
import templates  # noqa: E402
from prepare_sets import DATA, digest  # noqa: E402

LISTS = ROOT / "tasks/data/names"
NAMES = {"PERSON": "person", "GIVEN": "person", "FAMILY": "person", "REVERSED": "person",
         "ORGANIZATION": "organization", "ORG": "organization", "LOCATION": "location", "ADDRESS": "location",
         "CITY": "location", "COUNTRY": "location", "PLACE": "location"}
# WNUT's groups are bands, clubs and authorities; products and works are no names here.
WNUT = {"person": "person", "corporation": "organization", "group": "organization", "location": "location"}
MADE = {"train": 5600, "validation": 300, "dev": 700}  # texts of our templates
HANDLES = "sunny_day coffeebreak nightowl bookworm trailrunner pixelpush oldschool teamwork weekendvibes livemusic".split()
KINDS = {"GmbH": 2, "AG": 1, "Ltd": 3, "LLP": 2, "Inc.": 3, "Group": 2, "& Co.": 1, "Partners": 1, "SA": 1, "BV": 1, "AB": 1,
         "S.p.A.": 1, "Holdings": 1, "LLC": 2, "plc": 1}
TRADES = ("Logistics Insurance Pharma Energy Media Robotics Foods Textiles Motors Software Analytics Construction Travel "
          "Consulting Capital Dental Care Diagnostics Timber Shipping Bakery Electronics Architects Seguros Assurances "
          "Versicherung Logistik Bau Elektronik Transports Alimentari Steelworks Brewing Publishing Solicitors").split()
BODIES = ("University of {c}|{c} General Hospital|St. {g}'s Hospital|{c} City Council|{c} United|Bank of {c}|{c} Savings Bank|"
          "{f} Foundation|{f} & {h}|{f}, {h} & Partners|{f} Brothers|{f} {t}|{f} {t} {k}|{a} {t}|{a} {t} {k}|{a} {n}|{a} {n} {t}|"
          "{a}{n} {t}|{c} {t}|{c} Medical Centre|{f} Clinic|{f} Institute|{c} School of Law|{a} Credit Union|{a} Housing Trust|"
          "Clinique {a}|Klinikum {c}|Universität {c}|Banco de {c}|Banca di {c}|Hospital de {c}|{n} {n}|The {a} {n}s|{f} {k}").split("|")
FIRST = ("Silver Blue North Bright Golden Summit Pioneer Harvest Crystal Iron Royal Liberty Evergreen Atlas Nova Vertex Quantum "
         "Granite Coastal Sapphire Orbit Falcon Lumina Zenith Aurora Solis Terra Polar Cobalt").split()
SECOND = ("stone wing field bridge lake gate peak leaf point tide star forge ridge harbor bay path line spark grove crest").split()


def words(name):
    return [word.replace("_", " ") for word in (LISTS / name).read_text(encoding="utf-8").split()]


def items(name):
    return (LISTS / name).read_text(encoding="utf-8").strip().split("|")


class Filler(corpus.Filler):
    """Fills templates as bench/pii does, from our lists: of each a part (`held`: the other one) and none of what
    the test half of bench/pii has."""

    def __init__(self, held, seed):
        super().__init__("dev", f"{seed} {held}")
        own = {"given": words("given.txt"), "family": words("family.txt"), "street": items("streets.txt"),
               "city": items("places.txt"), "organisation": items("organisations.txt"), "country": items("countries.txt")}
        beginnings = "Ash Birch Hart Thorn Win Black Wood Lang Stan Brad Whit Ald Mar Hol Carl Ever Fen Had Kir Nor Pen Rad".split()
        own["family"] += [a + b for a in beginnings for b in ("well", "ham", "combe", "shaw", "stead", "by", "worth", "don", "ley")]
        pairs = (("given", templates.GIVEN), ("family", templates.FAMILY), ("street", templates.STREETS),
                 ("city", templates.CITIES), ("organisation", templates.ORGANISATIONS), ("country", []))
        for key, theirs in pairs:
            parts = corpus.halves(theirs)
            # Whole lists, the development half included: what is of the test half goes, whichever list it is on.
            listed = sorted((set(own[key]) | set(parts["dev"])) - set(parts["test"]))
            self.lists[key] = [name for name in listed if (digest(f"name {name}") % 6 == 0) == held]

    def person(self):
        r, given, family = self.random, self.pick("given"), self.pick("family")
        return r.choices([f"{given} {family}", f"{given} {self.pick('given')} {family}", f"{given[0]}. {family}",
                          f"{given} {r.choice('ABCDEFGHJKLMNPRSTW')}. {family}", f"{given} {family}-{self.pick('family')}",
                          given], [12, 1, 1, 1, 1, 1])[0]

    def organisation(self):
        if self.random.random() < 0.3:
            return self.pick("organisation")
        r = self.random
        return r.choice(BODIES).format(c=self.pick("city"), g=self.pick("given"), f=self.pick("family"), h=self.pick("family"),
                                       t=r.choice(TRADES), k=r.choices(list(KINDS), list(KINDS.values()))[0],
                                       a=r.choice(FIRST), n=r.choice(SECOND).capitalize())

    def location(self):
        r = self.random
        street, number, city = self.pick("street"), r.randint(1, 240), self.pick("city")
        code = r.choice([f"{r.randint(10000, 99999)}", f"{r.randint(1000, 9999)}"])
        return r.choices([f"{street} {number}, {city}", f"{number} {street}, {city}", f"{street} {number}, {code} {city}",
                          f"{number} {street}, {city} {code}", f"{number}, {street}, {city}", f"{street} {number}",
                          f"{number} {street}, {city}, {self.pick('country')}"], [6, 4, 2, 1, 1, 1, 1])[0]

    def personal(self, label, kind):
        own = {"PERSON": self.person, "GIVEN": lambda: self.pick("given"), "FAMILY": lambda: self.pick("family"),
               "REVERSED": lambda: f"{self.pick('family')}, {self.pick('given')}", "ORGANIZATION": self.organisation,
               "ORG": self.organisation, "LOCATION": self.location, "ADDRESS": self.location,
               "CITY": lambda: self.pick("city"), "COUNTRY": lambda: self.pick("country"),
               "PLACE": lambda: self.pick(self.random.choice(["city", "country"]))}
        return own[label]() if label in own else super().personal(label, kind)

    def thing(self, name):
        return self.random.choice(HANDLES) if name == "handle" else super().thing(name)

    def text(self, template, options):
        """A text and its spans. `options`: [a|b] in the template is one of them."""
        if options:
            template = re.sub(r"\[([^\[\]]*\|[^\[\]]*)\]", lambda m: self.random.choice(m[1].split("|")), template)
        text, spans, _ = self.fill(template)
        return text, [{**span, "start": span["start"] + 4 * text.startswith("the ", span["start"]),
                       "label": NAMES[span["label"]]} for span in spans if span["label"] in NAMES]

    def row(self, pool):
        """A text, or (one time in four) two of them, one after the other."""
        text, spans = self.text(*self.random.choice(pool))
        if self.random.random() < 0.25:
            between = self.random.choice([" ", "\n", "\n\n"])
            more, others = self.text(*self.random.choice(pool))
            at = len(text) + len(between)
            text += between + more
            spans += [{**span, "start": span["start"] + at, "end": span["end"] + at} for span in others]
        return {"text": text, "spans": spans}


def pools(part):
    """Templates with names, of bench/pii, and without: each (template, whether [a|b] is a choice)."""
    def mine(text):
        found = digest(f"template {text}") % 6
        return ("validation" if found == 0 else "dev" if found == 1 else "train") == part
    texts = [(text, True) for text in templates.split((LISTS / "texts.txt").read_text(encoding="utf-8"))]
    nothing = [(text, True) for text in templates.split((LISTS / "nothing.txt").read_text(encoding="utf-8"))]
    nothing += [(text, False) for text in corpus.halves(templates.split(templates.NOTHING))["dev"]]
    bench = [(text, False) for some in templates.DOMAINS.values() for text in corpus.halves(templates.split(some))["dev"]
             if "{PRIVATE_KEY}" not in text]  # as long as fifty posts
    return [[one for one in pool if mine(one[0])] for pool in (texts, bench, nothing)]


def made(part, seed):
    filler = Filler(part != "train", f"{seed} {part}")
    texts, bench, nothing = pools(part)
    for _ in range(MADE[part]):
        luck = filler.random.random()
        yield filler.row(texts if luck < 0.45 else bench if luck < 0.65 else nothing)


def wnut(name):
    """A post's words and tags; a line without a word ends it."""
    tokens, tags = [], []
    for line in [*(DATA / "wnut17" / name).read_text(encoding="utf-8").split("\n"), ""]:
        token, _, tag = line.partition("\t")
        if token.strip():
            tokens.append(token.strip())
            begin, _, label = tag.strip().partition("-")
            tags.append(f"{begin}-{WNUT[label]}" if label in WNUT else "O")
        elif tokens:
            yield joined(tokens, tags)
            tokens, tags = [], []


def joined(tokens, tags):
    """Words as a text, a space between two, and spans in characters."""
    text, spans = "", []
    for token, tag in zip(tokens, tags):
        start = len(text) + (text != "")
        text += (" " if text else "") + token
        if tag.startswith("I-") and spans and spans[-1]["label"] == tag[2:] and spans[-1]["end"] == start - 1:
            spans[-1]["end"] = len(text)
        elif tag != "O":
            spans.append({"start": start, "end": len(text), "label": tag[2:]})
    return {"text": text, "spans": spans}


def restaurant():
    """Every turn with a name of a guest, and a part of the others that have no capital inside."""
    for turn in json.loads((DATA / "restaurant8k/train_0.json").read_text(encoding="utf-8")):
        text, spans = turn["userInput"]["text"], []
        for label in turn.get("labels", []):
            if label["slot"] in ("first_name", "last_name"):
                place = label["valueSpan"]
                spans.append({"start": place.get("startIndex", 0), "end": place["endIndex"], "label": "person"})
        spans.sort(key=lambda span: span["start"])
        whole = []
        for span in spans:  # first and last name side by side are one person
            if whole and text[whole[-1]["end"]:span["start"]].strip() == "":
                whole[-1]["end"] = span["end"]
            else:
                whole.append(span)
        capital = re.search(r"(?<=\w )(?!I\b|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|PM|AM)[A-Z]", text)
        if whole and digest(text) % 2 == 0 or not whole and not capital and len(text.split()) > 3 and digest(text) % 16 == 0:
            yield {"text": text, "spans": whole}


def questions():
    """Of SQuAD, those without a capital or figure past the first word, which asks: they have no names."""
    for document in json.loads((DATA / "squad/train-v1.1.json").read_text(encoding="utf-8"))["data"]:
        for paragraph in document["paragraphs"]:
            for one in paragraph["qas"]:
                text = one["question"].strip()
                if re.fullmatch(r"(What|Which|How|Why|When|Where|Who|Whose|Is|Are|Does|Do) [a-z ,'?-]+", text) \
                        and digest(text) % 24 == 0:
                    yield {"text": text, "spans": []}


def generator(seed):
    for row in corpus.labelled("test", 1500, seed):
        yield {"text": row["text"], "spans": [{**span, "label": NAMES[span["label"]]} for span in row["spans"]
                                              if span["label"] in NAMES]}


def once(rows, seen):
    for row in rows:
        key = row["text"].lower()
        if key not in seen:
            seen.add(key)
            yield row


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    corpus.write(path, rows)
    counts = collections.Counter(span["label"] for row in rows for span in row["spans"])
    for row in rows:
        assert all(row["text"][span["start"]:span["end"]].strip() for span in row["spans"])
    print("  " + ", ".join(f"{counts[label]} {label}" for label in sorted(counts))
          + f"; {sum(not row['spans'] for row in rows)} texts without")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    out = options.out / "names"
    tests = {"wnut17": list(wnut("emerging.test.annotated")), "generator": list(generator(options.seed))}
    dev = list(wnut("emerging.dev.conll"))
    held = {"validation": [row for row in dev if digest(row["text"]) % 2 == 0],
            "dev": [row for row in dev if digest(row["text"]) % 2 == 1]}
    for part, rows in held.items():
        held[part] = list(once(rows + list(made(part, options.seed)), set()))
    seen = {row["text"].lower() for some in [*held.values(), *tests.values()] for row in some}
    parts = {"WNUT 17": list(wnut("wnut17train.conll")), "restaurant8k": list(restaurant()), "SQuAD": list(questions()),
             "made": list(made("train", options.seed))}
    train = []
    for name, rows in parts.items():
        kept = list(once(rows, seen))
        print(f"{name}: {len(rows)} texts, {len(kept)} kept")
        train += kept
    random.Random(options.seed).shuffle(train)
    for name, rows in (("train", train), *held.items()):
        write(out / f"{name}.jsonl", rows)
    for name, rows in tests.items():
        write(out / f"tests/{name}.jsonl", rows)


if __name__ == "__main__":
    main()
