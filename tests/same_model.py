"""Exits 0 when two model files are the same byte for byte, apart from the speed that was measured while
they were made (and sizes of files that hold it) and the command that made them.   python3 tests/same_model.py A.gguf B.gguf"""
import json
import struct
import sys

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
MEASURED = {"latency_us", "p50_us", "texts_per_second", "tokens_per_second", "bytes", "command"}


def without_measured(value):
    if isinstance(value, dict):
        return {k: without_measured(v) for k, v in value.items() if k not in MEASURED}
    return [without_measured(v) for v in value] if isinstance(value, list) else value


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def string(self):
        return self.take(self.number("Q"))

    def value(self, kind):
        if kind == STRING:
            text = self.string()
            try:
                return json.dumps(without_measured(json.loads(text)))
            except ValueError:
                return text
        if kind == ARRAY:
            of, count = self.number("I"), self.number("Q")
            return [self.value(of) for _ in range(count)]
        return self.take(SIZES[kind])


def parts(path):
    """Key-value pairs, the table of tensors, the tensors' bytes."""
    with open(path, "rb") as file:
        reader = Reader(file.read())
    assert reader.take(4) == b"GGUF", path
    reader.number("I")
    tensors, pairs = reader.number("Q"), reader.number("Q")
    values = {reader.string(): reader.value(reader.number("I")) for _ in range(pairs)}
    table = []
    for _ in range(tensors):
        name = reader.string()
        shape = [reader.number("Q") for _ in range(reader.number("I"))]
        table.append((name, shape, reader.number("I"), reader.number("Q")))
    return values, table, reader.data[(reader.at + 31) // 32 * 32 :]


a, b = parts(sys.argv[1]), parts(sys.argv[2])
for x, y, what in zip(a, b, ("metadata", "tensors", "weights")):
    if x != y:
        keys = [k for k in x if x[k] != y.get(k)] if what == "metadata" else ""
        sys.exit(f"{sys.argv[1]} and {sys.argv[2]} differ in their {what} {keys}")
