#!/usr/bin/env python3
"""The gateway from outside: gateway_test.py path/to/tack path/to/tack_mock_upstream.

`tack serve --config` before a mock upstream that injects faults: fail-over before the first token and
typed errors after it, cascades, keys, the ledger's sums, stopping under load, kill -9.
"""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

TACK, MOCK = (os.path.realpath(p) for p in sys.argv[1:3])
ROOT = pathlib.Path(__file__).resolve().parent.parent
TASK_MODEL = ROOT / "models/banking-intent.gguf"

CONFIG = """
[serve]
port = 0
grace = "3s"

[models.banking]
path = "{task_model}"

[upstreams.mock]
base_url = "{mock}"
retries = 0
breaker_failures = 1000
first_byte_timeout = "1s"
idle_timeout = "1s"
prices."*" = {{ input = 2, output = 8 }}

[upstreams.nobody]
base_url = "http://127.0.0.1:9/v1"
retries = 0
breaker_failures = 1000

[routes.auto]
to = "mock/good"

[[routes.auto.rules]]
name = "cards"
when = {{ intent = {{ model = "banking", min_probability = 0.5 }} }}
to = "banking"

[routes.unreachable]
to = ["nobody/any", "mock/good"]

[routes.cascade]
to = ["banking", "mock/good"]
min_confidence = 0.8

[routes.shadowed]
to = "mock/good"

[routes.shadowed.shadow]
model = "banking"
{faults}
[ledger]
path = "{directory}/ledger.db"
{more}
"""

# Faults that must be answered by the next model, whole and as a stream.
FAULTS = ["429-retry-after-1", "500", "502", "503", "html", "redirect", "close", "silent",
          "cut-headers", "cut-0", "malformed-json", "malformed-sse", "garbage", "not-utf8", "not-an-answer",
          "error-in-stream-0", "error-in-body", "stall-0", "401", "403"]


class Program:
    """A process that says where it listens."""

    def __init__(self, command, stream, environment=None):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE if stream == "stdout" else self.log,
                                        stderr=subprocess.PIPE if stream == "stderr" else self.log, text=True,
                                        env={**os.environ, **(environment or {})})
        pipe = self.process.stdout if stream == "stdout" else self.process.stderr
        self.said = []
        for line in pipe:
            self.said.append(line)
            found = re.search(r"listening on (http://\S+)", line)
            if found:
                self.url = found.group(1)
                self.port = int(re.search(r":(\d+)", self.url[7:]).group(1))
                return
        raise RuntimeError(f"{command} did not start: {''.join(self.said)}")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(20)


class GatewayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = tempfile.TemporaryDirectory()
        cls.directory = pathlib.Path(cls.files.name)
        cls.mock = Program([MOCK], "stdout")
        cls.server = cls.serve()

    @classmethod
    def tearDownClass(cls):
        with contextlib.suppress(ProcessLookupError):
            cls.server.stop()
        cls.mock.stop()
        cls.files.cleanup()

    @classmethod
    def serve(cls, more="", directory=None):
        directory = directory or cls.directory
        faults = "".join(f'\n[routes."over-{f}"]\nto = ["mock/fault-{f}", "mock/good"]\n' for f in FAULTS)
        config = directory / "tack.toml"
        config.write_text(CONFIG.format(task_model=TASK_MODEL, mock=cls.mock.url, directory=directory,
                                        faults=faults, more=more))
        return Program([TACK, "serve", "--config", str(config)], "stderr")

    def ask(self, model, text="Tell me a story.", headers=None, server=None, path="/v1/chat/completions", **more):
        connection = http.client.HTTPConnection("127.0.0.1", (server or self.server).port, timeout=20)
        body = {"model": model, **more}
        if path.endswith("completions"):
            body["messages"] = [{"role": "user", "content": text}]
        connection.request("POST", path, json.dumps(body), headers or {})
        answer = connection.getresponse()
        data = answer.read().decode()
        connection.close()
        return answer, data

    def content(self, data):
        return json.loads(data)["choices"][0]["message"]["content"]

    def events(self, data):
        self.assertTrue(data.endswith("data: [DONE]\n\n"), data[-200:])
        return [json.loads(line[6:]) for line in data.split("\n") if line.startswith("data: {")]

    def records(self, directory=None):
        """All records of the ledger, as soon as it has no new ones."""
        path = (directory or self.directory) / "ledger.db"
        count = -1
        for _ in range(100):
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                db.row_factory = sqlite3.Row
                rows = [dict(row) for row in db.execute("SELECT * FROM calls ORDER BY id")]
                for row in rows:
                    row["attempts"] = [dict(a) for a in db.execute(
                        "SELECT * FROM attempts WHERE call = ? ORDER BY number", (row["id"],))]
            if len(rows) == count:
                return rows
            count = len(rows)
            time.sleep(0.15)
        self.fail("the ledger never comes to rest")

    def record_of(self, answer):
        wanted = answer.getheader("x-request-id")
        return next(r for r in self.records() if r["request_id"] == wanted)

    def test_routes_and_headers(self):
        answer, data = self.ask("auto", "where is my card?")
        self.assertEqual((answer.status, self.content(data)), (200, "card_arrival"))
        self.assertEqual(answer.getheader("x-tack-model"), "banking")
        self.assertEqual(answer.getheader("x-tack-route"), "auto")
        self.assertIn("rule 'cards'", answer.getheader("x-tack-reason"))
        answer, data = self.ask("auto", "?!", headers={"x-request-id": "mine"})
        self.assertEqual(answer.getheader("x-tack-model"), "mock/good")
        self.assertEqual(answer.getheader("x-request-id"), "mine")
        answer, _ = self.ask("mock/anything")
        self.assertEqual((answer.status, answer.getheader("x-tack-model")), (200, "mock/anything"))
        answer, data = self.ask("none")
        self.assertEqual((answer.status, json.loads(data)["error"]["code"]), (404, "model_not_found"))
        answer, _ = self.ask("mock/good", headers={"x-tack-local-only": "true"})
        self.assertEqual(answer.status, 403)

    def test_unknown_members_reach_the_upstream(self):
        answer, _ = self.ask("mock/good", provider_option={"a": [1]})
        self.assertEqual(answer.status, 200)
        answer, data = self.ask("banking", provider_option=1)
        self.assertEqual((answer.status, json.loads(data)["error"]["param"]), (400, "provider_option"))

    def test_every_fault_fails_over_before_the_first_token(self):
        cases = [(f, s) for f in FAULTS for s in (False, True)
                 if not (s and f in ("malformed-json", "error-in-body"))
                 and not (not s and f in ("malformed-sse", "error-in-stream-0", "stall-0"))]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda c: self.ask(f"over-{c[0]}", stream=c[1]), cases))
        for (fault, stream), (answer, data) in zip(cases, done):
            with self.subTest(fault=fault, stream=stream):
                self.assertEqual(answer.status, 200, data)
                self.assertEqual(answer.getheader("x-tack-model"), "mock/good",
                                 answer.getheader("x-tack-reason"))
                if stream:
                    self.assertEqual(self.events(data)[-1]["choices"][0]["finish_reason"], "stop")
                else:
                    self.assertTrue(self.content(data))
        answer, _ = self.ask("unreachable")
        self.assertEqual(answer.getheader("x-tack-model"), "mock/good")
        self.assertEqual([a["purpose"] for a in self.record_of(answer)["attempts"]], [2, 0])

    def test_a_fault_after_the_first_token_is_a_typed_error(self):
        for fault in ("cut-4", "stall-4", "error-in-stream-4", "no-done"):
            with self.subTest(fault=fault):
                answer, data = self.ask(f"mock/fault-{fault}", stream=True)
                self.assertEqual(answer.status, 200)
                events = self.events(data)
                if fault == "no-done" and "error" not in events[-1]:
                    continue  # it had a finish_reason: that is an end
                error = events[-1]["error"]
                self.assertTrue(error["message"])
                self.assertEqual(set(error), {"message", "type", "param", "code"})
                self.assertGreaterEqual(self.record_of(answer)["status"], 500)

    def test_errors_of_the_request_are_passed_on(self):
        answer, data = self.ask("mock/fault-400")
        self.assertEqual(answer.status, 400)
        self.assertIn("error", json.loads(data))

    def test_a_cascade_bills_every_attempt(self):
        answer, _ = self.ask("cascade", "where is my card?")
        self.assertEqual(answer.getheader("x-tack-model"), "banking")
        answer, data = self.ask("cascade", "blue", stream=True)
        self.assertEqual(answer.getheader("x-tack-model"), "mock/good")
        self.assertEqual([a["purpose"] for a in self.record_of(answer)["attempts"]], [1, 0])

    def test_a_shadow_is_on_record(self):
        answer, _ = self.ask("shadowed", "where is my card?")
        record = self.record_of(answer)
        self.assertEqual(sorted(a["purpose"] for a in record["attempts"]), [0, 3])
        self.assertEqual(record["agreed"], 0)

    def test_the_ledger_adds_up(self):
        for i in range(20):
            self.ask("auto", "where is my card?" if i % 2 else "zzz", stream=i % 3 == 0)
        self.ask("cascade", "blue")
        spent = baseline = compared = 0
        for record in self.records():
            for a in record["attempts"]:
                price = (0, 0) if a["local"] or a["model"].startswith("nobody") else (2000, 8000)
                cost = a["prompt_tokens"] * price[0] + a["completion_tokens"] * price[1]
                self.assertEqual(a["cost"], cost, a)
                if record["baseline"]:
                    spent += cost
            if record["baseline"]:
                compared += 1
                baseline += record["baseline_prompt_tokens"] * 2000 + record["baseline_completion_tokens"] * 8000
        report = json.loads(subprocess.run([TACK, "ledger", str(self.directory / "ledger.db"), "--json"],
                                           capture_output=True, text=True, check=True).stdout)
        self.assertGreater(compared, 20)
        total = json.dumps(report)
        saved = find(report, "savings")
        self.assertAlmostEqual(saved, (baseline - spent) / 1e9, places=9, msg=total[:500])

    def test_metrics(self):
        self.ask("auto", "where is my card?")
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        self.assertRegex(text, r'tack_requests_total\{endpoint="/v1/chat/completions",model="banking",'
                               r'route="auto",status="200"\} [1-9]')
        self.assertRegex(text, r"tack_ledger_dropped_total 0")

    def test_keys(self):
        with tempfile.TemporaryDirectory() as name:
            keys = pathlib.Path(name) / "keys.toml"
            key = subprocess.run([TACK, "keys", "add", "shop", "--requests-per-minute", "2", "--file", str(keys)],
                                 capture_output=True, text=True, check=True).stdout.strip()
            server = self.serve(f'[keys]\nfile = "{keys}"', pathlib.Path(name))
            try:
                self.assertEqual(self.ask("banking", server=server)[0].status, 401)
                bearer = {"Authorization": f"Bearer {key}"}
                for path in ("/v1/chat/completions", "/v1/classify"):
                    more = {} if path.endswith("completions") else {"input": "where is my card?"}
                    answer, data = self.ask("banking", headers=bearer, server=server, path=path, **more)
                    self.assertEqual(answer.status, 200, data)
                answer, _ = self.ask("banking", headers=bearer, server=server)
                self.assertEqual(answer.status, 429)
                self.assertTrue(answer.getheader("Retry-After"))
                connection = http.client.HTTPConnection("127.0.0.1", server.port)
                for path, wanted in (("/healthz", 200), ("/v1/models", 401), ("/metrics", 401)):
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    answer.read()
                    self.assertEqual(answer.status, wanted, path)
            finally:
                server.stop()
            # The same file, when others can read it.
            keys.chmod(0o644)
            with self.assertRaisesRegex(RuntimeError, "chmod 600"):
                self.serve(f'[keys]\nfile = "{keys}"', pathlib.Path(name))

    def test_sigterm_under_load_loses_nothing(self):
        with tempfile.TemporaryDirectory() as name:
            server = self.serve(directory=pathlib.Path(name))
            statuses = []

            def load(i):
                try:
                    for _ in range(40):
                        answer, data = self.ask("mock/fault-slow-first-byte-50", server=server)
                        statuses.append(answer.status)
                        if answer.status == 200:
                            json.loads(data)
                except (ConnectionError, http.client.HTTPException, socket.timeout):
                    pass  # it no longer accepts

            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                for i in range(16):
                    pool.submit(load, i)
                time.sleep(0.7)
                self.assertEqual(server.stop(), 0)
            self.assertGreater(len(statuses), 50)
            records = self.records(pathlib.Path(name))
            self.assertEqual(statuses.count(200), sum(r["status"] == 200 for r in records))

    def test_kill_9_leaves_a_whole_ledger(self):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            for _ in range(2):
                server = self.serve(directory=directory)
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    list(pool.map(lambda _: self.ask("mock/good", server=server), range(100)))
                time.sleep(0.3)
                server.stop(signal.SIGKILL)
            self.assertEqual(len(self.records(directory)), 200)
            with contextlib.closing(sqlite3.connect(directory / "ledger.db")) as db:
                self.assertEqual(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")

    def test_a_model_that_is_missing_is_said_at_start(self):
        with tempfile.TemporaryDirectory() as name:
            with self.assertRaisesRegex(RuntimeError, r"tack\.toml:\d+: .*nowhere\.gguf"):
                self.serve('[models.none]\npath = "nowhere.gguf"', pathlib.Path(name))


def find(report, name):
    """The first member of that name, at any depth."""
    if isinstance(report, dict):
        if name in report:
            return report[name]
        report = list(report.values())
    if isinstance(report, list):
        for part in report:
            found = find(part, name)
            if found is not None:
                return found
    return None


if __name__ == "__main__":
    if not TASK_MODEL.exists():
        print(f"SKIPPED: no {TASK_MODEL}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
