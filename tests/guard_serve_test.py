#!/usr/bin/env python3
"""Guards and privacy of `tack serve` from outside: guard_serve_test.py path/to/tack.

An upstream of our own keeps what it is sent and answers with what the test says, in pieces of any length.
"""
import concurrent.futures
import http.client
import http.server
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TACK = os.path.realpath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parent.parent
TASK_MODEL = ROOT / "models/banking-intent.gguf"
NAMES = ROOT / "models/names.gguf"

PERSONAL = {
    "EMAIL": "w.quackenbush@frobnicate.example",
    "IBAN": "DE89370400440532013000",
    "CARD": "4556737586899855",
    "SSN": "078-05-1120",
}
SECRET = "sk-proj-" + "zQ8vT1mXr5Lk2Bn9" * 3

CONFIG = """
[serve]
port = 0
[models.banking]
path = "{task_model}"
[models.names]
path = "{names}"
[privacy]
names = "names"
[upstreams.there]
base_url = "{upstream}"
retries = 0
[routes.masked]
to = "there/m"
privacy = "mask"
[routes.open]
to = "there/m"
[routes.home]
to = ["there/m", "banking"]
privacy = "local-only"
[routes.cascade]
to = ["banking", "there/m"]
min_confidence = 1.0
privacy = "mask"
[guard]
[[guard.input]]
check = "words"
words = ["forbidden fruit"]
[[guard.input]]
check = "topic"
model = "banking"
only = ["card_arrival"]
mode = "observe"
[[guard.output]]
check = "secrets"
[[guard.output]]
check = "words"
words = ["launch code"]
[audit]
path = "{directory}/audit.jsonl"
key_file = "{directory}/audit.key"
required = true
[ledger]
path = "{directory}/ledger.db"
content = true
[cache]
"""


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    received = []  # bodies
    answer = staticmethod(lambda body: "ok")
    pieces = random.Random(1)

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Upstream.received.append(body)
        text = Upstream.answer(body)
        if not body.get("stream"):
            data = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        at, events = 0, [{"role": "assistant", "content": ""}]
        while at < len(text):
            n = Upstream.pieces.randint(1, 7)
            events.append({"content": text[at:at + n]})
            at += n
        try:
            for delta in events + [None]:
                choice = {"index": 0, "delta": delta or {}, "finish_reason": None if delta else "stop"}
                event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True


# Every text trips this check, and it often comes too late to tell: whatever happens, nothing may pass.
LATE_CONFIG = """
[serve]
port = 0
[models.banking]
path = "{task_model}"
[upstreams.there]
base_url = "{upstream}"
retries = 0
[guard]
timeout = "{timeout}"
[[guard.output]]
check = "topic"
model = "banking"
only = ["visa_or_mastercard"]
[ledger]
path = "{directory}/ledger.db"
"""


# Nothing leaves before the audit log says so, and the log's disk is full.
FULL_CONFIG = """
[serve]
port = 0
[models.banking]
path = "{task_model}"
[upstreams.there]
base_url = "{upstream}"
[audit]
path = "{directory}/audit.jsonl"
key_file = "{directory}/audit.key"
required = true
[ledger]
enabled = false
"""


def small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


class Served(unittest.TestCase):
    config_text = CONFIG
    settings = {}
    before = None  # runs in the server's process

    @classmethod
    def setUpClass(cls):
        if cls is Served:
            raise unittest.SkipTest("what the tests below share")
        cls.directory = tempfile.TemporaryDirectory()
        cls.there = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        threading.Thread(target=cls.there.serve_forever, daemon=True).start()
        cls.config = pathlib.Path(cls.directory.name) / "tack.toml"
        cls.config.write_text(cls.config_text.format(**cls.settings, task_model=TASK_MODEL, names=NAMES, directory=cls.directory.name,
                                            upstream=f"http://127.0.0.1:{cls.there.server_port}/v1"))
        cls.start()

    @classmethod
    def start(cls):
        cls.log = pathlib.Path(cls.directory.name) / "log"
        cls.process = subprocess.Popen([TACK, "serve", "--config", str(cls.config)], stderr=cls.log.open("wb"), preexec_fn=cls.before,
                                       env={**os.environ, "TACK_HOME": cls.directory.name})
        for _ in range(300):
            found = re.search(r"listening on http://[^:]+:(\d+)", cls.log.read_text())
            if found or cls.process.poll() is not None:
                break
            time.sleep(0.1)
        assert found, cls.log.read_text()
        cls.port = int(found[1])

    @classmethod
    def tearDownClass(cls):
        cls.process.send_signal(signal.SIGTERM)
        assert cls.process.wait(20) == 0
        cls.there.shutdown()
        cls.directory.cleanup()

    def setUp(self):
        Upstream.received.clear()
        Upstream.answer = staticmethod(lambda body: body["messages"][-1]["content"])

    def send(self, body, path="/v1/chat/completions", headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", path, json.dumps(body), headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def chat(self, model, text, stream=False, headers=None):
        """(status, what the answer says, finish_reason or the error's code, headers)"""
        answer, data = self.send({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]},
                                 headers=headers)
        if answer.status != 200:
            return answer.status, "", json.loads(data)["error"]["code"], answer
        if not stream:
            choice = json.loads(data)["choices"][0]
            return 200, choice["message"]["content"], choice["finish_reason"], answer
        said, finish = "", None
        for line in data.decode().split("\n\n"):
            if line.startswith("data: {"):
                choice = json.loads(line[6:])["choices"][0]
                said += choice["delta"].get("content") or ""
                finish = choice["finish_reason"] or finish
        return 200, said, finish, answer



class GuardTest(Served):
    def test_personal_data_leaves_as_pseudonyms_and_comes_back(self):
        text = "Please write to " + ", ".join(f"{v} ({k})" for k, v in PERSONAL.items()) + " <EMAIL_7>."
        for stream in (False, True, True, True):
            status, said, finish, _ = self.chat("masked", text, stream)
            self.assertEqual((status, said, finish), (200, text, "stop"))
            sent = json.dumps(Upstream.received[-1])
            for kind, value in PERSONAL.items():
                self.assertNotIn(value, sent)
                self.assertIn("<", sent)
            self.assertIn("<EMAIL_1>", sent)
        text = "My name is John Smith and I live in Berlin. Does John Smith have to pay?"
        self.assertEqual(self.chat("masked", text)[1], text)
        sent = json.dumps(Upstream.received[-1])
        self.assertNotIn("Smith", sent)
        self.assertNotIn("Berlin", sent)
        self.assertEqual(sent.count("<PERSON_1>"), 2)
        text = PERSONAL["EMAIL"]
        self.chat("open", text)
        self.assertIn(PERSONAL["EMAIL"], json.dumps(Upstream.received[-1]))

    def test_what_must_stay_stays(self):
        for headers, model in (({}, "home"), ({"x-tack-local-only": "true"}, "there/m")):
            before = len(Upstream.received)
            status, _, code, _ = self.chat(model, "my card has not arrived", headers=headers)
            self.assertEqual(len(Upstream.received), before)
            self.assertIn((status, code), [(200, "stop"), (403, "egress_refused")])
        image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        answer, data = self.send({"model": "masked", "messages": [{"role": "user", "content": image}]})
        self.assertEqual((answer.status, json.loads(data)["error"]["code"]), (403, "egress_refused"))
        self.assertEqual(Upstream.received, [])

    def test_a_request_that_trips_a_check_asks_nobody(self):
        for text in ("Bring me the forbidden fruit", "the f\u043erbidden  fruit", "FORBIDDEN\u200b FRUIT"):
            for stream in (False, True):
                status, _, code, answer = self.chat("open", text, stream)
                self.assertEqual((status, code), (400, "content_filter"), text)
                self.assertEqual(answer.headers["x-tack-guard"], "words")
        self.assertEqual(Upstream.received, [])

    def test_an_answer_that_trips_a_check_is_withheld(self):
        for bad in (f"the key is {SECRET}, keep it", "the launch code is 12345"):
            Upstream.answer = staticmethod(lambda body: "All is well and " + bad)
            status, said, finish, answer = self.chat("open", "hello")
            self.assertEqual((status, said, finish), (200, None, "content_filter"))
            self.assertTrue(answer.headers["x-tack-guard"])
            for _ in range(20):
                status, said, finish, _ = self.chat("open", "hello", stream=True)
                self.assertEqual((status, finish), (200, "content_filter"))
                self.assertTrue("All is well and the ".startswith(said) or "All is well and the key is ".startswith(said),
                                said)

    def test_answers_that_pass_are_whole(self):
        text = "line one\nline two, with launching codes and a ski-proj " * 40
        for stream in (False, True):
            self.assertEqual(self.chat("open", text, stream)[1:3], (text, "stop"))

    def test_the_guard_answers_by_itself(self):
        answer, data = self.send({"input": "forbidden fruit"}, "/v1/guard")
        verdict = json.loads(data)
        self.assertEqual((answer.status, verdict["blocked"], verdict["stage"]), (200, True, "input"))
        answer, data = self.send({"stage": "output", "messages": [{"role": "user", "content": "forbidden fruit"},
                                                                  {"role": "assistant", "content": "no"}]}, "/v1/guard")
        self.assertEqual(json.loads(data)["blocked"], False)
        for body, param in (({}, "input"), ({"input": 3}, "input"), ({"input": "x", "stage": "no"}, "stage"),
                            ({"input": "x", "colour": 1}, "colour")):
            answer, data = self.send(body, "/v1/guard")
            self.assertEqual((answer.status, json.loads(data)["error"]["param"]), (400, param))
        answer, data = self.send({"input": "x", "stage": "pre_flight"}, "/v1/guard")
        self.assertEqual(answer.status, 404)

    def test_z_what_is_kept_holds_no_values(self):
        secret_text = " ".join(PERSONAL.values())
        for model in ("masked", "cascade"):
            for stream in (False, True):
                self.assertEqual(self.chat(model, f"say {secret_text}", stream)[0], 200)
        self.chat("home", secret_text)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(20), 0)
        events = [json.loads(line)["event"] for line in
                  (pathlib.Path(self.directory.name) / "audit.jsonl").read_text().splitlines()]
        for event in ("start", "request", "guard", "mask", "egress", "stop"):
            self.assertIn(event, events)
        verify = subprocess.run([TACK, "audit", "verify", self.directory.name + "/audit.jsonl", "--key",
                                 self.directory.name + "/audit.key"], capture_output=True, text=True)
        self.assertEqual(verify.returncode, 0, verify.stderr)
        # On the open route content is kept as it is, since the configuration says so.
        export = pathlib.Path(self.directory.name) / "export.jsonl"
        out = subprocess.run([TACK, "ledger", self.directory.name + "/ledger.db", "--export", str(export)],
                             capture_output=True, text=True)
        self.assertEqual(out.returncode, 0, out.stderr)
        rows = "".join(line for line in export.read_text().splitlines(True) if "masked" in line or "cascade" in line)
        self.assertIn("<EMAIL_1>", rows)
        for value in PERSONAL.values():
            self.assertNotIn(value, rows)
            self.assertNotIn(value.encode(), (pathlib.Path(self.directory.name) / "audit.jsonl").read_bytes())
            self.assertNotIn(value, self.log.read_text())
        type(self).start()


class LateChecks(Served):
    config_text = LATE_CONFIG
    settings = {"timeout": "1ms"}
    outcome = "failed"

    def test_nothing_passes_under_load(self):
        Upstream.answer = staticmethod(lambda body: "a long answer of many words " * 60)

        def one(i):
            return self.chat("there/m", f"hello {i}", stream=i % 3 > 0)
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            for status, said, finish, _ in pool.map(one, range(240)):
                self.assertEqual((status, said or "", finish), (200, "", "content_filter"))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/metrics")
        found = re.findall(r'tack_guard_findings_total{[^}]*outcome="(\w+)"[^}]*} (\S+)',
                           connection.getresponse().read().decode())
        self.assertEqual(sum(float(count) for _, count in found), 240)
        self.assertGreater(float(dict(found).get(self.outcome, 0)), 40, found)


class ChecksInTime(LateChecks):
    settings = {"timeout": "60s"}
    outcome = "blocked"


class FullDisk(Served):
    config_text = FULL_CONFIG
    before = staticmethod(small_files)

    def test_nothing_leaves_that_is_not_on_record(self):
        statuses = [self.chat("there/m", "hello")[0] for _ in range(40)]
        sent = statuses.count(200)
        self.assertEqual(statuses, [200] * sent + [503] * (40 - sent))
        self.assertGreater(sent, 2)
        self.assertLess(sent, 40)
        # The attempt that found the disk full was not sent either.
        self.assertEqual(len(Upstream.received), sent)
        self.assertEqual(self.chat("there/m", "hello")[2], "audit_failed")
        self.assertEqual(self.chat("banking", "where is my card?")[0], 200)  # what stays here goes on


if __name__ == "__main__":
    if not TASK_MODEL.exists() or not NAMES.exists():
        print(f"SKIPPED: no {TASK_MODEL} or {NAMES}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
