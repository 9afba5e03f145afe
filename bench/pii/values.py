"""Made-up values that look like personal data, each with a check digit of its own arithmetic: none of
this is shared with the finder that is measured on it. `random` is a random.Random."""

import base64
import hashlib
import json

DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
KEY = CAPITALS + CAPITALS.lower() + DIGITS


def some(random, alphabet, count):
    return "".join(random.choice(alphabet) for _ in range(count))


def digits(random, count):
    return some(random, DIGITS, count)


def group(text, *lengths, by=" "):
    parts, at = [], 0
    for length in lengths:
        parts.append(text[at:at + length])
        at += length
    return by.join(parts)


def luhn_digit(body):
    total = 0
    for i, c in enumerate(reversed(body)):
        d = int(c) * (2 if i % 2 == 0 else 1)
        total += d // 10 + d % 10
    return str(-total % 10)


def until(make, right):
    while True:
        value = make()
        if right(value):
            return value


def ymd(random, first=1930, last=2009):
    return random.randint(first, last), random.randint(1, 12), random.randint(1, 28)


# --- numbers with a checksum

def credit_card(random):
    prefix, length = random.choice([("4", 16), ("4", 16), ("51", 16), ("55", 16), ("53", 16), ("2221", 16),
                                    ("34", 15), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16), ("62", 16)])
    body = prefix + digits(random, length - len(prefix) - 1)
    number = body + luhn_digit(body)
    shape = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}[length]
    return random.choice([number, group(number, *shape), group(number, *shape), group(number, *shape, by="-")])


IBAN_SHAPES = {"DE": "18n", "GB": "4a14n", "FR": "10n11c2n", "ES": "20n", "IT": "1a10n12c", "NL": "4a10n",
               "AT": "16n", "CH": "5n12c", "BE": "12n", "PL": "24n", "PT": "21n", "SE": "20n", "IE": "4a14n",
               "NO": "11n", "DK": "14n", "FI": "14n", "LU": "3n13c", "CZ": "20n"}


def iban(random):
    country, shape = random.choice(sorted(IBAN_SHAPES.items()))
    body, count = "", ""
    for c in shape:
        if c.isdigit():
            count += c
            continue
        body += some(random, {"n": DIGITS, "a": CAPITALS, "c": DIGITS + CAPITALS}[c], int(count))
        count = ""
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    text = f"{country}{98 - int(number) % 97:02d}{body}"
    if random.random() < 0.5:
        return text
    return " ".join(text[i:i + 4] for i in range(0, len(text), 4))


def uk_nhs(random):
    def make():
        body = random.choice("4679") + digits(random, 8)
        check = 11 - sum(int(c) * w for c, w in zip(body, range(10, 1, -1))) % 11
        return body + {11: "0", 10: "x"}.get(check, str(check))
    number = until(make, lambda v: "x" not in v)
    return random.choice([number, group(number, 3, 3, 4), group(number, 3, 3, 4)])


def de_tax_id(random):
    order = list(DIGITS)
    while True:
        random.shuffle(order)
        body = order[:9] + [random.choice(order[:9])]
        random.shuffle(body)
        if body[0] != "0":
            break
    product = 10
    for c in body:
        total = (int(c) + product) % 10 or 10
        product = total * 2 % 11
    number = "".join(body) + str((11 - product) % 10)
    return random.choice([number, group(number, 2, 3, 3, 3)])


def fr_nir(random):
    y, m, _ = ymd(random)
    dep = random.choice([f"{random.randint(1, 95):02d}", "75", "69", "13", "2A", "2B"])
    if dep == "20":
        dep = "21"
    body = f"{random.choice('12')}{y % 100:02d}{m:02d}{dep}{random.randint(1, 990):03d}{random.randint(1, 999):03d}"
    number = int(body.replace("2A", "19").replace("2B", "18") if dep in ("2A", "2B") else body)
    text = body + f"{97 - number % 97:02d}"
    return random.choice([text, group(text, 1, 2, 2, 2, 3, 3, 2)])


NIF = "TRWAGMYFPDXBNJZSQVHLCKE"


def es_nif(random):
    n = random.randint(1_000_000, 99_999_999)
    return f"{n:08d}{random.choice(['', '', '-'])}{NIF[n % 23]}"


def es_nie(random):
    first, n = random.randint(0, 2), random.randint(0, 9_999_999)
    letter = NIF[(first * 10_000_000 + n) % 23]
    dash = random.choice(["", "", "-"])
    return f"{'XYZ'[first]}{dash}{n:07d}{dash}{letter}"


def it_fiscal_code(random):
    odd = dict(zip(DIGITS, (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)))
    odd.update(zip(CAPITALS, (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25,
                              24, 23)))
    y, m, d = ymd(random)
    d += random.choice([0, 40])
    body = (some(random, "BCDFGLMNPRSTVZ", 6) + f"{y % 100:02d}" + "ABCDEHLMPRST"[m - 1] + f"{d:02d}" +
            random.choice("ABCDEFGHIL") + digits(random, 3))
    total = 0
    for i, c in enumerate(body, 1):
        total += odd[c] if i % 2 else (int(c) if c.isdigit() else ord(c) - 65)
    return body + CAPITALS[total % 26]


def pl_pesel(random):
    y, m, d = ymd(random)
    body = f"{y % 100:02d}{m + (20 if y >= 2000 else 0):02d}{d:02d}" + digits(random, 4)
    return body + str(-sum(int(c) * w for c, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3))) % 10)


def verhoeff_digit(body):
    # The dihedral group of ten, computed: r^a s^b with a below 5, b below 2, numbered a + 5 b.
    def times(x, y):
        a, b, c, d = x % 5, x // 5, y % 5, y // 5
        return ((a + c) % 5 if b == 0 else (a - c) % 5) + 5 * ((b + d) % 2)
    moved = [list(range(10))]
    for _ in range(7):
        moved.append([(1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[d] for d in moved[-1]])
    for last in range(10):
        check = 0
        for i, c in enumerate(reversed(body + str(last))):
            check = times(check, moved[i % 8][int(c)])
        if check == 0:
            return str(last)


def in_aadhaar(random):
    body = random.choice("23456789") + digits(random, 10)
    return group(body + verhoeff_digit(body), 4, 4, 4) if random.random() < 0.7 else body + verhoeff_digit(body)


def nl_bsn(random):
    def make():
        body = random.choice("123456") + digits(random, 7)
        check = sum(int(c) * w for c, w in zip(body, range(9, 1, -1))) % 11
        return body + (str(check) if check < 10 else "x")
    return until(make, lambda v: "x" not in v)


def br_cpf(random):
    body = digits(random, 9)
    for n in (10, 11):
        body += str(sum(int(c) * w for c, w in zip(body, range(n, 1, -1))) * 10 % 11 % 10)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}" if random.random() < 0.8 else body


def ca_sin(random):
    body = random.choice("1234567") + digits(random, 7)
    number = body + luhn_digit(body)
    return random.choice([number, group(number, 3, 3, 3), group(number, 3, 3, 3, by="-")])


def au_tfn(random):
    number = until(lambda: random.choice("123456789") + digits(random, 8), lambda v: sum(
        int(c) * w for c, w in zip(v, (1, 4, 3, 7, 5, 8, 6, 9, 10))) % 11 == 0)
    return random.choice([number, group(number, 3, 3, 3)])


def se_personnummer(random):
    y, m, d = ymd(random)
    body = f"{y % 100:02d}{m:02d}{d:02d}" + digits(random, 3)
    number = body + luhn_digit(body)
    century = random.choice(["", "", str(y // 100)])
    return century + number[:6] + "-" + number[6:]


def fi_code(random):
    y, m, d = ymd(random)
    n = random.randint(2, 899)
    body = f"{d:02d}{m:02d}{y % 100:02d}"
    return body + ("A" if y >= 2000 else "-") + f"{n:03d}" + "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(f"{body}{n:03d}") % 31]


def ch_ahv(random):
    body = "756" + digits(random, 9)
    total = sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(body))
    return group(body + str(-total % 10), 3, 4, 4, 2, by=".")


def be_number(random):
    y, m, d = ymd(random)
    serial = random.randint(1, 997)
    nine = f"{y % 100:02d}{m:02d}{d:02d}{serial:03d}"
    check = 97 - int(("2" if y >= 2000 else "") + nine) % 97
    return f"{nine[:2]}.{nine[2:4]}.{nine[4:6]}-{nine[6:]}.{check:02d}"


def cn_id(random):
    y, m, d = ymd(random)
    body = random.choice(["110105", "310101", "440106", "510104"]) + f"{y}{m:02d}{d:02d}" + digits(random, 3)
    total = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(body))
    check = (12 - total) % 11
    return body + ("X" if check == 10 else str(check))


def sg_nric(random):
    first = random.choice("STFG")
    number = digits(random, 7)
    total = sum(int(c) * w for c, w in zip(number, (2, 7, 6, 5, 4, 3, 2))) + (4 if first in "TG" else 0)
    return first + number + ("JZIHGFEDCBA" if first in "ST" else "XWUTRQPNMLK")[total % 11]


# --- without one

def us_ssn(random):
    area = until(lambda: random.randint(1, 899), lambda a: a != 666)
    return f"{area:03d}-{random.randint(1, 99):02d}-{random.randint(1, 9999):04d}"


def uk_nino(random):
    text = some(random, "ABCEGHJKLMPRSTWXYZ", 1) + some(random, "ABCEHJLMPRSTWXYZ", 1)
    text += digits(random, 6) + random.choice("ABCD")
    return random.choice([text, group(text, 2, 2, 2, 2, 1)])


def in_pan(random):
    return some(random, CAPITALS, 3) + "P" + some(random, CAPITALS, 1) + digits(random, 4) + some(random, CAPITALS, 1)


def passport(random):
    return random.choice([some(random, "CFGHJK", 1) + some(random, "CFGHJKLMNPRTVWXYZ0123456789", 2) + digits(random, 6),
                          digits(random, 9), some(random, CAPITALS, 2) + digits(random, 7)])


def medical_record(random):
    return random.choice([digits(random, 6), digits(random, 7), digits(random, 8), "MRN-" + digits(random, 6),
                          random.choice("ABHP") + digits(random, 7), digits(random, 2) + "-" + digits(random, 6)])


def insurance(random):
    return random.choice([random.choice(CAPITALS) + digits(random, 9), some(random, CAPITALS, 3) + digits(random, 9),
                          digits(random, 10), some(random, CAPITALS, 2) + "-" + digits(random, 7),
                          some(random, CAPITALS, 3) + "-" + digits(random, 4) + "-" + digits(random, 4)])


def ip(random):
    if random.random() < 0.8:
        return f"{random.choice([10, 37, 81, 93, 172, 192, 203])}." + ".".join(
            str(random.randint(1, 254)) for _ in range(3))
    return f"2001:db8:{random.randint(1, 65535):x}::{random.randint(256, 65535):x}:{random.randint(16, 65535):x}"


def mac(random):
    pairs = [f"{random.randint(0, 255):02x}" for _ in range(6)]
    return random.choice([":".join(pairs), ":".join(pairs).upper(), "-".join(pairs)])


def phone(random, country):
    d = lambda n: digits(random, n)
    n1 = lambda n: random.choice("23456789") + digits(random, n - 1)
    if country == "us":
        a, b, c = n1(3), n1(3), d(4)
        return random.choice([f"({a}) {b}-{c}", f"{a}-{b}-{c}", f"{a}.{b}.{c}", f"+1 {a} {b} {c}", f"+1-{a}-{b}-{c}",
                              f"1-{a}-{b}-{c}"])
    if country == "uk":
        return random.choice([f"020 7{d(3)} {d(4)}", f"07{d(3)} {d(6)}", f"+44 7{d(3)} {d(6)}", f"+44 20 7{d(3)} {d(4)}",
                              f"0161 {n1(3)} {d(4)}"])
    if country == "de":
        return random.choice([f"030 {n1(7)}", f"0171 {d(7)}", f"+49 30 {n1(7)}", f"+49 (0)89 {n1(6)}", f"0221/{n1(6)}",
                              f"+49 151 {d(8)}", f"040-{n1(6)}"])
    if country == "fr":
        pairs = " ".join(d(2) for _ in range(4))
        return random.choice([f"0{random.choice('1234567')} {pairs}", f"+33 {random.choice('1234567')} {pairs}",
                              f"06.{pairs.replace(' ', '.')}"])
    if country == "es":
        return random.choice([f"+34 6{d(2)} {d(3)} {d(3)}", f"6{d(2)} {d(3)} {d(3)}", f"9{d(2)} {d(2)} {d(2)} {d(2)}"])
    if country == "it":
        return random.choice([f"+39 3{d(2)} {d(7)}", f"06 {n1(4)} {d(4)}", f"3{d(2)} {d(7)}", f"02 {n1(7)}"])
    if country == "nl":
        return random.choice([f"06 {d(8)}", f"+31 6 {d(8)}", f"020 {n1(3)} {d(4)}", f"06-{d(8)}"])
    if country == "pl":
        return random.choice([f"+48 {n1(3)} {d(3)} {d(3)}", f"{n1(3)} {d(3)} {d(3)}", f"{n1(3)}-{d(3)}-{d(3)}"])
    if country == "br":
        return random.choice([f"(11) 9{d(4)}-{d(4)}", f"+55 21 9{d(4)}-{d(4)}"])
    return f"+91 {random.choice('6789')}{d(4)} {d(5)}"


MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split(),
}


def date(random, style, first=1930, last=2009):
    y, m, d = ymd(random, first, last)
    if style == "iso":
        return f"{y}-{m:02d}-{d:02d}"
    if style == "us":
        return f"{m:02d}/{d:02d}/{y}"
    if style == "dot":
        return f"{d:02d}.{m:02d}.{y}"
    if style == "slash":
        return f"{d:02d}/{m:02d}/{y}"
    name = MONTHS[style][m - 1]
    if style == "en":
        return random.choice([f"{d} {name} {y}", f"{name} {d}, {y}", f"{d:02d}-{name[:3]}-{y}"])
    if style == "de":
        return f"{d}. {name} {y}"
    return f"{d} de {name} de {y}" if style == "es" else f"{d} {name} {y}"


def api_key(random):
    return random.choice([
        lambda: "sk-" + some(random, KEY, 48), lambda: "sk-proj-" + some(random, KEY + "_-", 80) + "A1",
        lambda: "sk-ant-api03-" + some(random, KEY, 90), lambda: "AKIA" + some(random, CAPITALS + "234567", 16),
        lambda: "AIza" + some(random, KEY, 35), lambda: "ghp_" + some(random, KEY, 36),
        lambda: "github_pat_" + some(random, KEY, 22) + "_" + some(random, KEY, 59),
        lambda: "glpat-" + some(random, KEY, 20), lambda: "xoxb-" + digits(random, 12) + "-" + some(random, KEY, 24),
        lambda: "sk_live_" + some(random, KEY, 24), lambda: "hf_" + some(random, KEY, 34),
        lambda: "npm_" + some(random, KEY, 36), lambda: "SG." + some(random, KEY, 22) + "." + some(random, KEY, 43),
        lambda: "tk-" + some(random, "0123456789abcdef", 64)])()


def jwt(random):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    return ".".join([part({"alg": "HS256", "typ": "JWT"}), part({"sub": digits(random, 8), "iat": 1700000000}),
                     some(random, KEY + "-_", 42) + "a"])


def private_key(random):
    lines = [some(random, KEY + "+/", 64) for _ in range(random.randint(3, 20))]
    kind = random.choice(["", "RSA ", "EC ", "OPENSSH "])
    return "\n".join([f"-----BEGIN {kind}PRIVATE KEY-----", *lines, some(random, KEY, 30) + "==",
                      f"-----END {kind}PRIVATE KEY-----"])


def password(random):
    word = random.choice(["sommer", "Winter", "kitty", "dragon", "Blume", "tiger", "monkey", "Soleil", "qwerty"])
    return word + random.choice(["!", "_", "#", "", "$"]) + digits(random, random.randint(2, 4)) + random.choice(
        ["", "!", "x", "Q"]).replace("!", "X")


def aws_secret(random):
    return some(random, KEY, 20) + "/" + some(random, KEY, 18) + "a"


def url(random):
    scheme = random.choice(["postgres", "mysql", "mongodb+srv", "https", "redis", "amqp", "ftp"])
    host = random.choice(["db.internal", "mq-1.prod.local", "cache", "repo.example.org", "10.2.0.9"])
    port = random.choice(["", ":5432", ":6379"])
    return f"{scheme}://{random.choice(['app', 'root', 'deploy', 'svc_user'])}:{some(random, KEY, 12)}@{host}{port}"


# --- what is no personal data

def isbn13(random):
    body = random.choice(["978", "979"]) + digits(random, 9)
    number = body + str(-sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(body)) % 10)
    return random.choice([number, f"{number[:3]}-{number[3]}-{number[4:8]}-{number[8:12]}-{number[12]}"])


def isbn10(random):
    body = digits(random, 9)
    check = sum(int(c) * (i + 1) for i, c in enumerate(body)) % 11
    text = body + ("X" if check == 10 else str(check))
    return random.choice([text, f"{text[0]}-{text[1:4]}-{text[4:9]}-{text[9]}"])


def order_number(random):
    d = lambda n: digits(random, n)
    return random.choice([
        lambda: d(7), lambda: d(8), lambda: d(9), lambda: d(10), lambda: d(11), lambda: d(12), lambda: d(14),
        lambda: d(16), lambda: random.choice("45") + d(15), lambda: f"{d(3)}-{d(7)}-{d(7)}",
        lambda: f"{some(random, CAPITALS, 2)}-{d(8)}", lambda: f"{some(random, CAPITALS, 3)}{d(6)}",
        lambda: f"2025-{d(6)}", lambda: f"{d(4)} {d(4)} {d(4)}", lambda: d(8) + some(random, CAPITALS, 1)])()


def tracking(random):
    return random.choice(["1Z" + some(random, CAPITALS + DIGITS, 6) + digits(random, 10), digits(random, 12),
                          digits(random, 20), "9400 1" + group(digits(random, 19), 3, 4, 4, 4, 2)[0:],
                          some(random, CAPITALS, 2) + digits(random, 9) + some(random, CAPITALS, 2)])


def timestamp(random):
    seconds = random.randint(1_500_000_000, 1_900_000_000)
    y, m, d = ymd(random, 2015, 2026)
    clock = f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}"
    return random.choice([str(seconds), str(seconds) + digits(random, 3), str(seconds) + digits(random, 6),
                          f"{y}-{m:02d}-{d:02d}T{clock}Z", f"{y}-{m:02d}-{d:02d} {clock}.{digits(random, 3)}",
                          f"{y}{m:02d}{d:02d}{clock.replace(':', '')}", f"{y}{m:02d}{d:02d}"])


def hash_text(random):
    data = digits(random, 12).encode()
    full = random.choice([hashlib.md5, hashlib.sha1, hashlib.sha256])(data).hexdigest()
    return random.choice([full, full[:7], full[:12], full[:10], full.upper()])


def uuid(random):
    h = some(random, "0123456789abcdef", 32)
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def version(random):
    r = lambda n: random.randint(0, n)
    return random.choice([f"{r(20)}.{r(30)}.{r(99)}", f"v{r(9)}.{r(9)}", f"{r(20)}.{r(9)}.{r(99)}.{r(255)}",
                          f"{r(9)}.{r(99)}.{r(9)}-rc{r(9)}", f"10.0.{19000 + r(3000)}.{r(4000)}"])


def amount(random):
    return f"{random.choice(['$', '€', '£', 'EUR ', 'USD '])}{random.randint(1, 9999)},{digits(random, 3)}.{digits(random, 2)}"


def ean(random):
    body = random.choice(["40", "50", "73", "76", "30"]) + digits(random, 10)
    return body + str(-sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(body)) % 10)
