#!/usr/bin/env python3
"""Writes labelled texts of made-up personal data for `tack pii eval`:

    bench/pii/corpus.py DIR [--texts 1500] [--things 5000] [--seed 1]
    bench/pii/corpus.py DIR --plain NAME FILE...     # ordinary texts, one row a paragraph, no labels

DIR/dev.jsonl and DIR/test.jsonl share neither a template nor a given name, family name, street, city or
organisation; DIR/dev_things.jsonl and DIR/test_things.jsonl have order numbers, ISBNs, timestamps, hashes,
versions and the like, and nothing personal. Rows: {"text", "spans": [{"start", "end", "label"}], "domain"}.
"""

import argparse
import hashlib
import json
import pathlib
import random
import re
import sys
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import templates
import values

SLOT = re.compile(r"\{([A-Za-z_0-9]+)(?::([a-z]+))?\}")


def half(text):
    return "test" if hashlib.sha256(text.encode()).digest()[0] % 2 else "dev"


def halves(items):
    """Two halves in an order that only the items' hashes decide."""
    ranked = sorted(items, key=lambda item: hashlib.sha256(item.encode()).digest())
    return {"dev": ranked[::2], "test": ranked[1::2]}


class Filler:
    def __init__(self, name, seed):
        self.random = random.Random(f"{name} {seed}")
        self.lists = {key: halves(items)[name] for key, items in
                      (("given", templates.GIVEN), ("family", templates.FAMILY), ("street", templates.STREETS),
                       ("city", templates.CITIES), ("organisation", templates.ORGANISATIONS))}

    def pick(self, key):
        return self.random.choice(self.lists[key])

    def person(self):
        return f"{self.pick('given')} {self.pick('family')}"

    def email(self):
        plain = lambda text: unicodedata.normalize("NFKD", text.replace("ł", "l").replace("ı", "i")).encode(
            "ascii", "ignore").decode().lower()
        given, family = plain(self.pick("given")), plain(self.pick("family"))
        local = self.random.choice([f"{given}.{family}", f"{given[0]}{family}", f"{given}_{family}{self.random.randint(1, 99)}",
                                    f"{given}+{self.random.choice(['news', 'shop'])}", family])
        return f"{local}@{self.random.choice(['example.com', 'mail.example.org', 'posteo.example.de', 'uni.example.ac.uk', 'web-post.fr', 'acme.io'])}"

    def location(self):
        return f"{self.pick('street')} {self.random.randint(1, 180)}, {self.pick('city')}"

    def personal(self, label, kind):
        r = self.random
        if label == "PHONE_NUMBER":
            return values.phone(r, kind or "us")
        if label == "DATE_OF_BIRTH":
            return values.date(r, kind or "iso")
        if label == "API_KEY" and kind == "aws":
            return "AKIA" + values.some(r, values.CAPITALS + "234567", 16)
        own = {"PERSON": self.person, "ORGANIZATION": lambda: self.pick("organisation"), "LOCATION": self.location,
               "EMAIL_ADDRESS": self.email}
        if label in own:
            return own[label]()
        make = {"CREDIT_CARD": values.credit_card, "IBAN_CODE": values.iban, "IP_ADDRESS": values.ip,
                "MAC_ADDRESS": values.mac, "URL_WITH_CREDENTIALS": values.url, "US_SSN": values.us_ssn,
                "UK_NHS": values.uk_nhs, "UK_NINO": values.uk_nino, "DE_TAX_ID": values.de_tax_id,
                "FR_NIR": values.fr_nir, "ES_NIF": values.es_nif, "ES_NIE": values.es_nie,
                "IT_FISCAL_CODE": values.it_fiscal_code, "PL_PESEL": values.pl_pesel,
                "IN_AADHAAR": values.in_aadhaar, "IN_PAN": values.in_pan, "NL_BSN": values.nl_bsn,
                "BR_CPF": values.br_cpf, "CA_SIN": values.ca_sin, "AU_TFN": values.au_tfn,
                "SE_PERSONNUMMER": values.se_personnummer, "FI_PERSONAL_IDENTITY_CODE": values.fi_code,
                "CH_AHV": values.ch_ahv, "BE_NATIONAL_NUMBER": values.be_number, "CN_RESIDENT_ID": values.cn_id,
                "SG_NRIC_FIN": values.sg_nric, "PASSPORT_NUMBER": values.passport,
                "MEDICAL_RECORD_NUMBER": values.medical_record, "INSURANCE_NUMBER": values.insurance,
                "API_KEY": values.api_key, "AWS_SECRET_KEY": values.aws_secret, "JSON_WEB_TOKEN": values.jwt,
                "PRIVATE_KEY": values.private_key, "PASSWORD": values.password}
        return make[label](r)

    def thing(self, name):
        r = self.random
        make = {"order": values.order_number, "tracking": values.tracking, "timestamp": values.timestamp,
                "hash": values.hash_text, "uuid": values.uuid, "version": values.version, "amount": values.amount,
                "isbn": values.isbn13, "isbn10": values.isbn10, "ean": values.ean,
                "day": lambda r: values.date(r, r.choice(["iso", "dot", "en", "slash"]), 2015, 2026),
                "time": lambda r: f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}",
                "number": lambda r: str(r.randint(100, 99999))}
        return make[name](r)

    def fill(self, template):
        text, spans, at, things = "", [], 0, 0
        for match in SLOT.finditer(template):
            text += template[at:match.start()]
            at = match.end()
            label, kind = match.groups()
            if label.isupper():
                value = self.personal(label, kind)
                spans.append({"start": len(text), "end": len(text) + len(value), "label": label})
            else:
                value = self.thing(label)
                things += label in ("order", "tracking", "timestamp", "hash", "uuid", "version", "isbn", "isbn10", "ean")
            text += value
        return text + template[at:], spans, things


def write(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{path}: {len(rows)} texts, {sum(len(row['spans']) for row in rows)} spans")


def labelled(name, count, seed):
    filler = Filler(name, seed)
    chosen = [(domain, t) for domain, text in templates.DOMAINS.items() for t in halves(templates.split(text))[name]]
    rows = []
    while len(rows) < count:
        for domain, template in chosen:
            text, spans, _ = filler.fill(template)
            rows.append({"text": text, "spans": spans, "domain": domain})
    return rows[:count]


def nothing(name, count, seed):
    filler = Filler(name, f"{seed} things")
    chosen = halves(templates.split(templates.NOTHING))[name]
    rows, made = [], 0
    while made < count:
        for template in chosen:
            text, _, things = filler.fill(template)
            made += things
            rows.append({"text": text, "spans": [], "domain": "things"})
    print(f"{name}: {made} order numbers, ISBNs, timestamps, hashes, ...")
    return rows


def plain(name, files, folder):
    rows = []
    for path in files:
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
        rows += [{"text": line, "spans": []} for line in text.split("\n") if line.strip()]
    write(folder / f"{name}.jsonl", rows)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("dir", type=pathlib.Path)
    arguments.add_argument("--texts", type=int, default=1500, help="labelled texts of each half")
    arguments.add_argument("--things", type=int, default=5000, help="numbers that are nothing personal, of each half")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--plain", nargs="+", metavar=("NAME", "FILE"))
    options = arguments.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    if options.plain:
        return plain(options.plain[0], options.plain[1:], options.dir)
    for name in ("dev", "test"):
        write(options.dir / f"{name}.jsonl", labelled(name, options.texts, options.seed))
        write(options.dir / f"{name}_things.jsonl", nothing(name, options.things, options.seed))


if __name__ == "__main__":
    main()
