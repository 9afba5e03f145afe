#!/usr/bin/env python3
"""What people write stays out of what is kept: raw_data_test.py path/to/tack path/to/tack_mock_upstream.

Requests with planted identifiers, in every place where a client can put some, go through `tack serve`; then all
that it wrote (log, ledger, audit log, whatever else is in its directory) is scanned for them, in the ways that
bytes are usually written. That the scan finds what is there is shown with `[ledger] content = true`.

Left out are the three names that a client gives so that they are found again: of an upstream's model, and the
headers x-request-id and x-tack-workload. The ledger keeps them as they are.
"""
import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

TACK, MOCK = (os.path.realpath(p) for p in sys.argv[1:3])
ROOT = pathlib.Path(__file__).resolve().parent.parent
TASK_MODEL = ROOT / "models/banking-intent.gguf"

# None of them is a name of anything here.
PLANTED = {
    "name": "Wilhelmina Quackenbush",
    "e-mail": "w.quackenbush@frobnicate.example",
    "phone": "+49 151 55501234",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "card": "4556 7375 8689 9855",
    "social security": "078-05-1120",
    "address": "221 Gruberstrasse Unterammergau",
    "record": "MRN-77120934",
    "key": "sk-proj-zQ8vT1mXr5Lk2Bn9",
    "not ASCII": "Zoë Müßiggänger-Łukasz",
}

CONFIG = """
[serve]
port = 0
[models.banking]
path = "{task_model}"
[upstreams.mock]
base_url = "{mock}"
retries = 0
prices."*" = {{ input = 2, output = 8 }}
[routes.auto]
to = ["mock/good", "banking"]
[routes.cascade]
to = ["banking", "mock/good"]
min_confidence = 0.99
[routes.shadowed]
to = "mock/good"
[routes.shadowed.shadow]
model = "banking"
[routes.broken]
to = ["mock/fault-500", "mock/fault-malformed-json", "mock/fault-error-in-body"]
[cache]
[ledger]
path = "{directory}/ledger.db"
{more}
[audit]
path = "{directory}/audit.jsonl"
"""


def written_forms(text):
    """The text's bytes as they could stand in a file."""
    raw = text.encode()
    forms = {raw, raw.lower(), text.upper().encode(), text.encode("utf-16-le"), raw.hex().encode(),
             json.dumps(text).strip('"').encode(), urllib.parse.quote(text).encode(),
             urllib.parse.quote_plus(text).encode(), text.replace(" ", "").encode()}
    # Inside a longer base64 text: without the characters that its neighbours decide.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
        forms.add(coded[4 if shift else 0:-2])
        forms.add(base64.urlsafe_b64encode(b"\0" * shift + raw).rstrip(b"=")[4 if shift else 0:-2])
    digits = re.sub(r"\D", "", text)
    if len(digits) >= 9:
        forms.add(digits.encode())
    # Some of its words may be kept alone; a short one could be there by chance.
    forms |= {word.encode() for word in text.split() if len(word) >= 8}
    return forms


def found_in(directory):
    """(file, what) for everything planted that stands in a file under the directory."""
    found = []
    for path in sorted(p for p in pathlib.Path(directory).rglob("*") if p.is_file()):
        content = path.read_bytes()
        lower = content.lower()
        for what, text in PLANTED.items():
            if any(form in content or form.lower() in lower for form in written_forms(text)):
                found.append((path.name, what))
    return found


class Server:
    def __init__(self, command, directory, stream, name):
        self.log = open(pathlib.Path(directory) / name, "w+b")
        environment = {**os.environ, "TACK_HOME": str(directory), "TMPDIR": str(directory)}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment, cwd=directory)
        for _ in range(300):
            found = re.search(rb"listening on (http://\S+):(\d+)", (pathlib.Path(directory) / name).read_bytes())
            if found:
                self.port = int(re.match(rb"\d+", found[2])[0])
                self.url = f"http://127.0.0.1:{self.port}/v1"
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError((pathlib.Path(directory) / name).read_text())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.log.close()
        return code


def send(port, path, body, headers=None, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body, ensure_ascii=False).encode()
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


def requests():
    """(path, body, headers): all planted texts, in each place."""
    everything = "; ".join(PLANTED.values())
    chat = "/v1/chat/completions"
    plain = {k: v for k, v in PLANTED.items() if v.isascii()}
    for model in ("auto", "cascade", "shadowed", "broken", "banking", "mock/good", "mock/fault-cut-4"):
        for stream in (False, True):
            yield chat, {"model": model, "stream": stream, "messages": [
                {"role": "system", "content": f"You help {everything}."},
                {"role": "user", "content": [{"type": "text", "text": f"I am {everything}."}]},
                {"role": "assistant", "content": everything},
                {"role": "user", "content": f"Where is my card? {everything}"}]}, {}
    message = [{"role": "user", "content": everything}]
    yield chat, {"model": "mock/good", "messages": message, "user": everything,
                 "metadata": {"who": everything}, "safety_identifier": everything}, {}
    yield chat, {"model": "mock/good", "messages": message, "tools": [
        {"type": "function", "function": {"name": "f", "description": everything, "parameters": {}}}]}, {}
    yield chat, {"model": "mock/good", "messages": message + [{"role": "tool", "tool_call_id": "a",
                                                              "content": everything}]}, {}
    yield chat, {"model": "banking", "messages": message, everything: 1}, {}
    yield chat, {"model": "banking", "messages": everything}, {}
    yield chat, json.dumps({"model": "auto", "messages": message}, ensure_ascii=False).encode()[:-9], {}
    yield chat, everything.encode(), {}
    yield "/v1/completions", {"model": "mock/good", "prompt": everything}, {}
    yield "/v1/embeddings", {"model": "mock/good", "input": [everything]}, {}
    yield "/v1/classify", {"model": "banking", "input": everything}, {}
    yield "/v1/classify", {"model": "banking", "input": [everything, 3]}, {}
    for text in plain.values():
        quoted = urllib.parse.quote(text)
        yield f"{chat}?who={quoted}", {"model": "banking", "messages": message}, {}
        yield f"/v1/{quoted}", {}, {}
        yield chat, {"model": text, "messages": message}, {}
        yield chat, {"model": "banking", "messages": message}, {"Authorization": f"Bearer {text}", "X-Team": text}


class RawDataTest(unittest.TestCase):
    def run_all(self, directory, more=""):
        with tempfile.TemporaryDirectory() as elsewhere:
            mock = Server([MOCK], elsewhere, "stdout", "mock.log")
            try:
                config = pathlib.Path(directory) / "tack.toml"
                config.write_text(CONFIG.format(task_model=TASK_MODEL, mock=mock.url, directory=directory, more=more))
                server = Server([TACK, "serve", "--config", str(config)], directory, "stderr", "server.log")
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    statuses = list(pool.map(lambda r: send(server.port, *r)[0], requests()))
                self.assertEqual(server.stop(), 0)
            finally:
                mock.stop()
        self.assertGreater(statuses.count(200), 20, statuses)
        self.assertGreater(sum(400 <= s < 500 for s in statuses), 20, statuses)
        self.assertTrue((pathlib.Path(directory) / "ledger.db").stat().st_size > 0)

    def test_nothing_that_was_planted_is_kept(self):
        with tempfile.TemporaryDirectory() as directory:
            self.run_all(directory)
            self.assertEqual(found_in(directory), [])

    def test_the_scan_finds_what_is_there(self):
        with tempfile.TemporaryDirectory() as directory:
            self.run_all(directory, "content = true")
            self.assertEqual({what for _, what in found_in(directory)}, set(PLANTED))
        for what, text in PLANTED.items():
            longer = f"xy {text} z"
            for form in (text, text.upper(), json.dumps(longer), urllib.parse.quote(longer), longer.encode().hex(),
                         base64.b64encode(longer.encode()).decode(), base64.b64encode(b"x" + longer.encode()).decode(),
                         base64.urlsafe_b64encode(longer.encode()[1:]).decode()):
                with self.subTest(what=what, form=form), tempfile.TemporaryDirectory() as directory:
                    (pathlib.Path(directory) / "file").write_text(form)
                    self.assertIn(("file", what), found_in(directory))


if __name__ == "__main__":
    if not TASK_MODEL.exists():
        print(f"SKIPPED: no {TASK_MODEL}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
