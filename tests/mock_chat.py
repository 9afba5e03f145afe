#!/usr/bin/env python3
"""A chat-completions endpoint that behaves as the text it is asked about says: mock_chat.py CALLS.
Prints its port, then appends a line "TEXT<tab>STATUS" to the file CALLS before each answer.

Words of a text, apart from the label to answer with (the last word):
  busy      the first time 429 with Retry-After: 1       fails    always 500
  broken    the first time a body that is no JSON        empty    the first time no "choices"
  odd       always no chat completion                    long     400, as for a text too long
  slow      the first time it takes 4 seconds            hangs    always does
  outside   always an answer that is no label            corrects a label only after a correction
  shouts    the label as {"label": "LABEL"} in a fence   unpriced no "usage"
  wait      every answer takes half a second             throttled 429 with Retry-After: 7200
  key       403 that repeats the key, unless it is "Bearer secret"
"""
import collections
import http.server
import json
import sys
import threading
import time

LOCK = threading.Lock()
SEEN = collections.Counter()


def answer(text: str, turns: int, seen: int, key: str) -> tuple[int, dict, str]:
    words = text.split()
    label = words[-1]
    if "wait" in words:
        time.sleep(0.5)
    if "busy" in words and seen == 1:
        return 429, {"Retry-After": "1"}, '{"error": {"message": "too fast"}}'
    if "throttled" in words:
        return 429, {"Retry-After": "7200"}, "{}"
    if "fails" in words:
        return 500, {}, '{"error": "out of order"}'
    if "broken" in words and seen == 1:
        return 200, {}, "<html>busy</html>"
    if ("empty" in words and seen == 1) or "odd" in words:
        return 200, {}, '{"choices": []}'
    if "long" in words:
        return 400, {}, '{"error": {"message": "too many tokens"}}'
    if ("slow" in words and seen == 1) or "hangs" in words:
        time.sleep(4)
    if "key" in words and key != "Bearer secret":
        return 403, {}, json.dumps({"error": {"message": f"wrong key {key[7:]}"}})
    if "outside" in words or ("corrects" in words and turns == 1):
        label = f"Perhaps {label}?"
    if "shouts" in words:
        label = '```json\n{"label": "%s"}\n```' % label.upper()
    reply = {"choices": [{"message": {"role": "assistant", "content": label}}]}
    if "unpriced" not in words:
        reply["usage"] = {"prompt_tokens": 100, "completion_tokens": 10}
    return 200, {}, json.dumps(reply)


class Chat(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = request["messages"]
        prompt = messages[0]["content"]
        text = prompt.split("<text>\n")[1].split("\n</text>")[0]
        with LOCK:
            SEEN[text] += 1
            seen = SEEN[text]
        if self.path != "/v1/chat/completions":
            status, headers, body = 404, {}, '{"error": {"message": "no such path"}}'
        elif request["temperature"] != 0 or request["max_tokens"] < 1:
            status, headers, body = 422, {}, '{"error": {"message": "temperature, max_tokens"}}'
        else:
            status, headers, body = answer(text, len(messages) // 2 + 1, seen,
                                           self.headers.get("Authorization", ""))
        with LOCK, open(sys.argv[1], "a", encoding="utf-8") as calls:
            calls.write(f"{text}\t{status}\n")
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())
        except OSError:
            pass  # the client has gone: it was slow, or was killed

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Chat)
print(server.server_address[1], flush=True)
server.serve_forever()
