#!/usr/bin/env python3
"""What guards cost a request: bench/guards.py GUARD.gguf [--tack build/tack] [--mock build/tack_mock_upstream]
                                                          [--decoder LLAMA.gguf] [--requests 500]

Starts the mock upstream and `tack serve` before it, with and without guards of five checks (unsafe, injection, pii,
secrets, words), and measures over one connection, in turn:
- a chat completion with a prompt of 100 tokens: median, 99th percentile, and what the guards add;
- /v1/guard alone, and the same while a decoder (--decoder) reads long prompts;
- the first word of a streamed answer, 20 ms before the next one, that the output stage checks (secrets, unsafe) before it
  goes out;
- the same request on a route that masks personal data; megabytes that are hard to look through, and how long another
  client of the same I/O thread waits meanwhile;
- the memory that is resident, with and without the guard model.
Prints Markdown.
"""
import argparse
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time

CHECKS = """
[guard]
timeout = "10s"
[[guard.input]]
check = "unsafe"
[[guard.input]]
check = "injection"
[[guard.input]]
check = "pii"
[[guard.input]]
check = "secrets"
[[guard.input]]
check = "words"
words = ["acme", "globex corporation", "initech"]
[[guard.output]]
check = "secrets"
[[guard.output]]
check = "unsafe"
"""
# About 100 tokens of an ordinary request.
PROMPT = ("Our warehouse in the north has run short of the blue storage boxes again, and the supplier says that the next "
          "delivery will be two weeks late because of a strike at the port. Please write a short and friendly note to "
          "the three shops that are waiting for them, say when they can expect their boxes, offer the grey ones in the "
          "meantime at the same price, and ask them to tell us by Friday what they would rather have. Keep it to one "
          "paragraph and do not promise any refund.")


class Program:
    def __init__(self, command):
        self.log = tempfile.NamedTemporaryFile(suffix=".log")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        env={**os.environ, "TACK_HOME": tempfile.gettempdir()})
        for _ in range(600):
            found = re.search(rb"listening on http://[^:]+:(\d+)", pathlib.Path(self.log.name).read_bytes())
            if found or self.process.poll() is not None:
                break
            time.sleep(0.05)
        if not found:
            raise SystemExit(pathlib.Path(self.log.name).read_text())
        self.port = int(found[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def resident_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def percentile(times, p):
    return sorted(times)[min(len(times) - 1, int(len(times) * p))]


def ask(connection, path, body):
    """Milliseconds to the first word of the answer, and to its end."""
    start = time.perf_counter()
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    data = b""
    while body.get("stream") and not re.search(rb'"content": ?"[^"]', data):
        more = answer.read1()
        if not more:
            break
        data += more
    at_first = time.perf_counter()
    data += answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {data[:300]}")
    return 1000 * (at_first - start), 1000 * (time.perf_counter() - start)


def chat(stream=False, model="mock/good"):
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}


def times(port, path, body, count):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(10):
        ask(connection, path, body)
    both = [ask(connection, path, body) for _ in range(count)]
    return [first for first, _ in both], [end for _, end in both]


def in_turn(ports, path, body, count, first):
    """Of each server its times, asked alternately so that a slow moment of the machine meets both."""
    connections = [http.client.HTTPConnection("127.0.0.1", port) for port in ports]
    results = [[] for _ in ports]
    for i in range(count + 10):
        for connection, result in zip(connections, results):
            took = ask(connection, path, body)[0 if first else 1]
            if i >= 10:
                result.append(took)
    return results


class Slow(http.server.BaseHTTPRequestHandler):
    """An upstream that says ordinary words, one every 20 ms."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for word in ["", "Dear", " friends", ",", " the", " blue", " boxes", " come", " late", "."]:
            delta = {"role": "assistant", "content": ""} if not word else {"content": word}
            event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                     "choices": [{"index": 0, "delta": delta, "finish_reason": "stop" if word == "." else None}]}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.02)
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


PERSONAL = "Write to jane.doe@example.com, her card is 4111 1111 1111 1111. " + PROMPT
LARGE = {"20,000 addresses": "\n".join(f"user{i}@example{i % 977}.com" for i in range(20_000)),
         "a megabyte of single digits": "1 " * 500_000,
         "a megabyte of '@'": "@" * 1_000_000,
         "a megabyte of words": "lorem ipsum dolor " * 58_000}
ROUTES = """
[routes.open]
to = "mock/good"
[routes.masked]
to = "mock/good"
privacy = "mask"
"""


class Bystander:
    """Another client: how long its worst small request takes."""

    def __init__(self, port):
        self.stopped, self.worst = False, 0.0
        self.thread = threading.Thread(target=self.run, args=(port,))
        self.thread.start()

    def run(self, port):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not self.stopped:
            start = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.worst = max(self.worst, 1000 * (time.perf_counter() - start))
            time.sleep(0.002)

    def stop(self):
        self.stopped = True
        self.thread.join()


def masking(port, count):
    """A small request with and without masking, in turn; large ones once each, with a bystander."""
    def body(route, text):
        return {"model": route, "messages": [{"role": "user", "content": text}]}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    small = {"open": [], "masked": []}
    for i in range(count + 10):
        for route, result in small.items():
            took = ask(connection, "/v1/chat/completions", body(route, PERSONAL))[1]
            if i >= 10:
                result.append(took)
    line("a request with an address and a card, not masked", small["open"])
    line("masked", small["masked"])
    print("\n| | not masked, ms | masked, ms | longest wait of another client, ms |\n|---|---|---|---|")
    for name, text in LARGE.items():
        bystander = Bystander(port)
        took = [ask(connection, "/v1/chat/completions", body(route, text))[1] for route in small]
        bystander.stop()
        print(f"| {name} | {took[0]:.1f} | {took[1]:.1f} | {bystander.worst:.1f} |")


class Prefill:
    """Keeps a decoder reading long prompts, each another one."""

    def __init__(self, port):
        self.stopped = False
        self.prompts = 0
        self.thread = threading.Thread(target=self.run, args=(port,))
        self.thread.start()

    def run(self, port):
        while not self.stopped:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            text = f"{self.prompts} " + "the weather in the mountains was fine and " * 100
            ask(connection, "/v1/completions", {"model": "decoder", "prompt": text, "max_tokens": 1})
            self.prompts += 1

    def stop(self):
        self.stopped = True
        self.thread.join()


def line(name, values):
    print(f"| {name} | {statistics.median(values):.2f} | {percentile(values, 0.99):.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guard")
    parser.add_argument("--tack", default="build/tack")
    parser.add_argument("--mock", default="build/tack_mock_upstream")
    parser.add_argument("--decoder")
    parser.add_argument("--requests", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        mock = Program([arguments.mock])
        slow = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        threading.Thread(target=slow.serve_forever, daemon=True).start()

        def serve(name, *parts):
            path = pathlib.Path(directory) / name
            path.write_text("\n".join(["[serve]\nport = 0", f"[upstreams.mock]\nbase_url = \"http://127.0.0.1:{mock.port}/v1\"",
                                       f"[upstreams.slow]\nbase_url = \"http://127.0.0.1:{slow.server_port}/v1\"",
                                       "[ledger]\nenabled = false", *parts]))
            return Program([arguments.tack, "serve", "--config", str(path)])
        model = f"[models.guard]\npath = \"{os.path.realpath(arguments.guard)}\""
        plain, guarded = serve("plain.toml", ROUTES), serve("guarded.toml", model, CHECKS)
        print("| ms | median | 99th percentile |\n|---|---|---|")
        without, with_guard = in_turn([plain.port, guarded.port], "/v1/chat/completions", chat(), arguments.requests, False)
        line("a request without guards", without)
        line("with five checks before it and two after it", with_guard)
        line("the five checks alone (/v1/guard)",
             times(guarded.port, "/v1/guard", {"input": PROMPT}, arguments.requests)[1])
        first, checked = in_turn([plain.port, guarded.port], "/v1/chat/completions", chat(True, "slow/m"),
                                 arguments.requests // 5, True)
        line("first word of a stream without guards", first)
        line("with guards", checked)
        if arguments.decoder:
            decoder = f"[models.decoder]\npath = \"{os.path.realpath(arguments.decoder)}\"\ncontext = 2048"
            both = serve("both.toml", model, decoder, CHECKS)
            prefill = Prefill(both.port)
            time.sleep(1)
            line("the five checks alone, while a decoder reads prompts",
                 times(both.port, "/v1/guard", {"input": PROMPT}, arguments.requests)[1])
            prefill.stop()
            print(f"\nprompts of about 800 tokens that were read meanwhile: {prefill.prompts}")
            both.stop()
        print("\n| ms | median | 99th percentile |\n|---|---|---|")
        resident = plain.resident_mb(), guarded.resident_mb()
        masking(plain.port, arguments.requests)
        print(f"\nadded to the median of a request: {statistics.median(with_guard) - statistics.median(without):.2f} ms, to that "
              f"of a stream's first word: {statistics.median(checked) - statistics.median(first):.2f} ms; resident memory: "
              f"{resident[0]:.1f} MB without guards, {resident[1]:.1f} MB with them")
        for program in (plain, guarded, mock):
            program.stop()


if __name__ == "__main__":
    main()
