"""Constrained output against the Python package jsonschema.

    python tools/golden/json_schema.py TEXT_TEST [--schemas N] [--samples N] [--tokens FILE] [--seed N]
    python tools/golden/json_schema.py --write-tokens VOCABULARY FILE

Random schemas of the supported subset, and random documents, half of them made from the schema and then
damaged: our automaton and jsonschema must agree on each (where a document is written in the form that
ours are). Then outputs written by chance under the masks, with several vocabularies: jsonschema must accept
every one. TEXT_TEST is build/src/tack_text_test. --tokens: one more vocabulary, a token a line in
hexadecimal; --write-tokens makes such a file from GGUF (byte-level BPE) or from tiktoken's base64 lines.
"""
import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile

NAMES = ["a", "b", "ab", "name", "é", "x y", 'q"', "\\", "", "東"]
WORDS = ["", "a", "ab", "abc", "zz", "é", "東京", 'say "hi"', "back\\slash", "line\nbreak", "🙂", "\t", "0", "-", "a1", "ab1c2"]
PATTERNS = ["^a+b?$", "b", "^[a-z]{2,4}$", "^(foo|ba[rz])+$", "^[^a]*$", r"^\d{1,3}(\.\d+)?$", "^.$", "x|^y|z$", r"\\", '"',
            "^$", r"^[A-Z]\w*$", "^(a|b)*abb$", "^[é-ü東]+$", "(ab){2}", "^a.c", "[0-9]$", r"^\S+$"]
FORMATS = ["date", "date-time", "time", "email", "uuid", "ipv4"]


class Schemas:
    """Random schemas, and documents that are meant to satisfy them, mostly."""

    def __init__(self, rng):
        self.rng = rng

    def make(self):
        self.defs = [f"d{i}" for i in range(self.rng.randint(0, 2))]
        schema = self.schema(0)
        while not isinstance(schema, dict):
            schema = self.schema(0)
        if self.defs:
            schema = dict(schema)
            schema["$defs"] = {name: self.schema(1) for name in self.defs}
        return schema

    def schema(self, depth):
        r = self.rng
        kinds = ["string", "integer", "number", "boolean", "null", "enum", "const"]
        if depth < 4:
            kinds += ["object"] * 4 + ["array"] * 3 + ["anyOf", "types", "allOf"]
            if self.defs and depth > 0:
                kinds += ["ref"] * 2
        return getattr(self, "make_" + r.choice(kinds).replace("$", ""))(depth)

    def make_string(self, depth):
        r = self.rng
        out = {"type": "string"}
        kind = r.randint(0, 5)
        if kind == 0:
            out["pattern"] = r.choice(PATTERNS)
        elif kind == 1:
            out["format"] = r.choice(FORMATS)
        if kind != 1 and r.random() < 0.5:
            out["minLength"] = r.randint(0, 3)
        if kind != 1 and r.random() < 0.5:
            out["maxLength"] = out.get("minLength", 0) + r.randint(0, 6)
        return out

    def limits(self, out):
        r = self.rng
        low = r.choice([0, 1, -1, 5, 10, 99, 100, -20, -1234, 12345]) + r.randint(-3, 3)
        high = low + r.choice([0, 1, 2, 9, 10, 100, 5000])
        if r.random() < 0.5:
            out["minimum" if r.random() < 0.7 else "exclusiveMinimum"] = low
        if r.random() < 0.5:
            out["maximum" if r.random() < 0.7 else "exclusiveMaximum"] = high
        return out

    def make_integer(self, depth):
        return self.limits({"type": "integer"})

    def make_number(self, depth):
        return self.limits({"type": "number"})

    def make_boolean(self, depth):
        return {"type": "boolean"}

    def make_null(self, depth):
        return {"type": "null"}

    def literal(self, depth=0):
        r = self.rng
        kind = r.randint(0, 7 if depth < 2 else 4)
        if kind == 5:
            return [self.literal(depth + 1) for _ in range(r.randint(0, 2))]
        if kind >= 6:
            return {r.choice(NAMES): self.literal(depth + 1) for _ in range(r.randint(0, 2))}
        return [r.choice(WORDS), r.randint(-20, 200), None, True, False][kind]

    def make_enum(self, depth):
        return {"enum": [self.literal() for _ in range(self.rng.randint(1, 4))]}

    def make_const(self, depth):
        return {"const": self.literal()}

    def make_object(self, depth):
        r = self.rng
        names = r.sample(NAMES, r.randint(0, 4))
        out = {"type": "object"}
        if names or r.random() < 0.5:
            out["properties"] = {n: self.schema(depth + 1) for n in names}
        if names and r.random() < 0.7:
            out["required"] = r.sample(names, r.randint(0, len(names)))
        kind = r.random()
        if kind < 0.2:
            out["additionalProperties"] = self.schema(depth + 1)
        elif kind < 0.3:
            out["additionalProperties"] = True
        elif "properties" in out:
            out["additionalProperties"] = False
        return out

    def make_array(self, depth):
        r = self.rng
        out = {"type": "array"}
        if r.random() < 0.8:
            out["items"] = self.schema(depth + 1)
        if r.random() < 0.3:
            out["prefixItems"] = [self.schema(depth + 1) for _ in range(r.randint(1, 3))]
            if r.random() < 0.5:
                out["items"] = False
        if r.random() < 0.4:
            out["minItems"] = r.randint(0, 2)
        if r.random() < 0.4:
            out["maxItems"] = out.get("minItems", 0) + r.randint(0, 3)
        return out

    def make_anyOf(self, depth):
        return {"anyOf": [self.schema(depth + 1) for _ in range(self.rng.randint(1, 3))]}

    def make_types(self, depth):
        r = self.rng
        types = r.sample(["string", "integer", "number", "boolean", "null", "array", "object"], r.randint(1, 3))
        out = {"type": types}
        if "string" in types and r.random() < 0.5:
            out["maxLength"] = r.randint(0, 5)
        if "integer" in types or "number" in types:
            self.limits(out)
        return out

    def make_allOf(self, depth):
        first, second = self.make_object(depth), self.make_object(depth)
        # What either forbids of the other's properties is no simple merge.
        for part in (first, second):
            part.setdefault("properties", {})
            part.pop("additionalProperties", None)
        names = set(first["properties"]) & set(second["properties"])
        for name in names:
            second["properties"][name] = first["properties"][name]
        return {"allOf": [first, second], "x-closed": True}

    def make_ref(self, depth):
        return {"$ref": "#/$defs/" + self.rng.choice(self.defs)}

    # --- documents ---

    def document(self, root, schema, depth=0):
        r = self.rng
        if isinstance(schema, bool) or depth > 12:
            return self.literal()
        if "$ref" in schema:
            return self.document(root, root["$defs"][schema["$ref"].split("/")[-1]], depth + 1)
        if "anyOf" in schema:
            return self.document(root, r.choice(schema["anyOf"]), depth + 1)
        if "allOf" in schema:
            both = {}
            for name in [n for part in schema["allOf"] for n in part["properties"]]:
                own = next(p["properties"][name] for p in schema["allOf"] if name in p["properties"])
                needed = any(name in p.get("required", []) for p in schema["allOf"])
                if name not in both and (needed or r.random() < 0.6):
                    both[name] = self.document(root, own, depth + 1)
            return both
        if "enum" in schema:
            return r.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        kind = r.choice(kind) if isinstance(kind, list) else kind
        if kind == "string":
            return self.text(schema)
        if kind in ("integer", "number"):
            low = schema.get("minimum", schema.get("exclusiveMinimum", schema.get("maximum", 0) - 20))
            high = schema.get("maximum", schema.get("exclusiveMaximum", low + 40))
            value = r.randint(min(low, high) - 1, max(low, high) + 1)
            return value + r.choice([0, 0.5, 0.25]) if kind == "number" and r.random() < 0.5 else value
        if kind == "boolean":
            return r.random() < 0.5
        if kind == "object":
            out = {}
            for name, own in schema.get("properties", {}).items():
                if name in schema.get("required", []) or r.random() < 0.6:
                    out[name] = self.document(root, own, depth + 1)
            more = schema.get("additionalProperties", "properties" not in schema)
            if more is not False and r.random() < 0.6:
                for name in r.sample(NAMES, r.randint(1, 2)):
                    out.setdefault(name, self.document(root, more, depth + 1))
            return out
        if kind == "array":
            prefix = schema.get("prefixItems", [])
            items = schema.get("items", True)
            n = r.randint(schema.get("minItems", 0), schema.get("maxItems", schema.get("minItems", 0) + 3))
            if items is False:
                n = min(n, len(prefix))
            return [self.document(root, prefix[i] if i < len(prefix) else items, depth + 1) for i in range(n)]
        return None

    def text(self, schema):
        r = self.rng
        if "format" in schema:
            return r.choice(["2024-02-29", "2023-02-29", "1999-11-30", "2024-02-29T10:00:00Z", "2024-06-31T10:00:00Z",
                             "2020-01-01T23:59:59.123+05:30", "12:30:00Z", "25:00:00Z", "a@b.co", "x.y@sub.example.org",
                             "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000", "1.2.3.4", "1.2.3.400"])
        if "pattern" in schema and r.random() < 0.8:
            return r.choice(["a", "aab", "aabb", "b", "abc", "foobar", "barfoo", "baz", "12", "123.45", "1234", "東", "éü", "\\", '"',
                             "", "A1_", "abb", "aababb", "abab", "axc", "yes", "fizz", "z9", "x", "é"])
        low, high = schema.get("minLength", 0), schema.get("maxLength", 8)
        return "".join(r.choice("abé東🙂\"\\\n 1") for _ in range(r.randint(max(0, low - 1), high + 1)))

    def damaged(self, document, depth=0):
        r = self.rng
        if isinstance(document, dict) and document and r.random() < 0.8:
            out = dict(document)
            name = r.choice(list(out))
            kind = r.randint(0, 3)
            if kind == 0:
                del out[name]
            elif kind == 1:
                out[r.choice(NAMES)] = self.literal()
            else:
                out[name] = self.damaged(out[name], depth + 1)
            return out
        if isinstance(document, list) and document and r.random() < 0.8:
            out = list(document)
            at = r.randrange(len(out))
            if r.random() < 0.3:
                del out[at]
            elif r.random() < 0.4:
                out.insert(at, out[at])
            else:
                out[at] = self.damaged(out[at], depth + 1)
            return out
        if isinstance(document, (int, float)) and not isinstance(document, bool) and r.random() < 0.7:
            return document + r.choice([1, -1, 10, 0.5])
        if isinstance(document, str) and r.random() < 0.5:
            return document + r.choice(WORDS)
        return self.literal()


def closed(schema):
    """As ours reads it: an object that names properties has no others; allOf is one object."""
    if isinstance(schema, list):
        return [closed(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "enum" in schema or "const" in schema:
        return schema
    if "allOf" in schema:
        properties = {}
        required = []
        for part in schema["allOf"]:
            properties.update(part["properties"])
            required += part.get("required", [])
        same = closed({"type": "object", "properties": properties, "required": required})
        if "$defs" in schema:
            same["$defs"] = {name: closed(own) for name, own in schema["$defs"].items()}
        return same
    out = {}
    for word, value in schema.items():
        if word in ("properties", "$defs"):
            out[word] = {name: closed(own) for name, own in value.items()}
        elif word in ("items", "additionalProperties", "prefixItems", "anyOf"):
            out[word] = closed(value)
        else:
            out[word] = value
    if "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


def ordered(root, schema, document, depth=0):
    """The document with its properties in the order of the schema, additional ones last; None when alternatives
    differ, so that there is no one order."""
    if depth > 40:
        return document
    if isinstance(schema, dict) and "$ref" in schema:
        return ordered(root, root["$defs"][schema["$ref"].split("/")[-1]], document, depth + 1)
    if isinstance(document, dict):
        if not isinstance(schema, dict) or "properties" not in schema:
            more = schema.get("additionalProperties", True) if isinstance(schema, dict) else True
            return {n: ordered(root, more, v, depth + 1) for n, v in document.items()}
        known = schema["properties"]
        out = {n: ordered(root, known[n], document[n], depth + 1) for n in known if n in document}
        more = schema.get("additionalProperties", True)
        out.update({n: ordered(root, more, v, depth + 1) for n, v in document.items() if n not in known})
        return out
    if isinstance(document, list) and isinstance(schema, dict):
        prefix = schema.get("prefixItems", [])
        return [ordered(root, prefix[i] if i < len(prefix) else schema.get("items", True), v, depth + 1)
                for i, v in enumerate(document)]
    return document


def comparable(schema):
    """Whether documents can be compared: one order of properties serves (no objects below anyOf)."""
    if isinstance(schema, list):
        return all(comparable(s) for s in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("format") == "email":
        return False  # jsonschema asks for an @ and nothing else
    if "anyOf" in schema:
        if '"email"' in json.dumps(schema):
            return False
        text = json.dumps(schema["anyOf"])
        return '"object"' not in text and "$ref" not in text and "{\"" not in json.dumps(
            [s.get("enum", s.get("const")) for s in schema["anyOf"] if isinstance(s, dict)])
    if "enum" in schema or "const" in schema:
        return True  # literals keep their own order, which documents made from them have
    return all(comparable(v) for v in (list(schema.get("properties", {}).values()) + list(schema.get("$defs", {}).values())
                                       + [schema.get("items", True), schema.get("additionalProperties", True)]
                                       + schema.get("prefixItems", [])))


def has_fraction_one(document):
    """1.0, which jsonschema takes for an integer and ours writes as 1."""
    if isinstance(document, dict):
        return any(has_fraction_one(v) for v in document.values())
    if isinstance(document, list):
        return any(has_fraction_one(v) for v in document)
    return isinstance(document, float) and (document == int(document) or "e" in repr(document))


def write_tokens(source, target):
    if source.endswith(".gguf"):
        from gguf import GGUFReader
        field = GGUFReader(source).fields["tokenizer.ggml.tokens"]
        printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
        table = {chr(b): b for b in printable}
        table.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)})
        tokens = []
        for at in field.data:
            text = bytes(field.parts[at]).decode("utf-8")
            tokens.append(bytes(table[c] for c in text) if all(c in table for c in text) else b"")
        if tokens[-1] == b"<|endoftext|>":
            tokens.pop()
    else:
        tokens = [base64.b64decode(line.split()[0]) for line in open(source, encoding="ascii") if line.strip()]
    with open(target, "w", encoding="ascii") as out:
        for token in tokens + [b"</s>"]:
            out.write(token.hex() + "\n")
    print(f"{len(tokens) + 1} tokens")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("test", nargs="?")
    parser.add_argument("--schemas", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--tokens")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write-tokens", nargs=2)
    args = parser.parse_args()
    if args.write_tokens:
        write_tokens(*args.write_tokens)
        return 0
    import jsonschema

    rng = random.Random(args.seed)
    make = Schemas(rng)
    cases = []
    for _ in range(args.schemas):
        schema = make.make()
        same = closed(schema)
        documents = []
        for i in range(args.documents):
            try:
                document = make.document(same, same)
            except RecursionError:
                document = make.literal()
            if i % 2:
                document = make.damaged(document)
            document = ordered(same, same, document)
            if not has_fraction_one(document):
                documents.append(document)
        separators = [(",", ":"), (", ", ": ")]
        texts = [json.dumps(d, ensure_ascii=False, separators=rng.choice(separators)) for d in documents]
        cases.append((schema, same, documents, texts))

    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, n) for n in ("cases", "answers")]
        with open(paths[0], "w", encoding="utf-8") as out:
            for schema, _, _, texts in cases:
                out.write(json.dumps({"schema": schema, "documents": texts, "samples": args.samples}) + "\n")
        environment = dict(os.environ, TACK_SCHEMA_CASES=paths[0], TACK_SCHEMA_ANSWERS=paths[1])
        if args.tokens:
            environment["TACK_TOKEN_BYTES"] = args.tokens
        subprocess.run([args.test, "--gtest_filter=Constraint.Parity", "--gtest_brief=1"], env=environment, check=True)
        answers = [json.loads(line) for line in open(paths[1], encoding="utf-8")]
    assert len(answers) == len(cases)

    refused = compared = agreed_yes = wrong = sampled = unfinished = invalid = schemas_compared = schemas_sampled = 0
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for (schema, same, documents, texts), answer in zip(cases, answers):
        if "error" in answer:
            refused += 1
            if os.environ.get("SHOW_REFUSED"):
                print(answer["error"])
            continue
        validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
        strict = jsonschema.Draft202012Validator(same, format_checker=checker)
        if comparable(same):
            schemas_compared += 1
            for document, text, ours in zip(documents, texts, answer["accepts"]):
                theirs = strict.is_valid(document)
                compared += 1
                agreed_yes += theirs and ours
                if theirs != ours:
                    wrong += 1
                    if wrong <= 10:
                        print("DIFFERS: jsonschema", theirs, "ours", ours, json.dumps(same), text)
        schemas_sampled += 1
        for text in answer["samples"]:
            if text is None:
                unfinished += 1
                continue
            sampled += 1
            try:
                ok = validator.is_valid(json.loads(text))
            except ValueError:
                ok = False
            if not ok:
                invalid += 1
                if invalid <= 10:
                    print("INVALID OUTPUT:", json.dumps(schema), text)
    print(f"{len(cases)} schemas, {refused} refused; {compared} documents of {schemas_compared} schemas compared "
          f"({agreed_yes} valid in both), {wrong} differ; {sampled} outputs of {schemas_sampled} schemas, {invalid} invalid, "
          f"{unfinished} not finished")
    return 1 if wrong or invalid else 0


if __name__ == "__main__":
    sys.exit(main())
