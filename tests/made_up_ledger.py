#!/usr/bin/env python3
"""Writes a ledger of made-up requests, in SQL of its own, and prints as JSON what its numbers add up
to, so that `tack ledger` is held to sums it did not make.   made_up_ledger.py FILE RECORDS"""
import json
import random
import sqlite3
import sys

START = 1793491200  # 2026-11-01 00:00 UTC; a request every ten minutes
MODELS = {"small": 0.4, "big/strong": 10.0}  # what a thousand tokens cost, in thousandths

SCHEMA = """
CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, time_us INTEGER NOT NULL,
  request_id TEXT NOT NULL, endpoint TEXT NOT NULL, client TEXT NOT NULL, workload TEXT NOT NULL,
  route TEXT NOT NULL, model TEXT NOT NULL, reason TEXT NOT NULL, status INTEGER NOT NULL,
  streamed INTEGER NOT NULL, from_cache INTEGER NOT NULL, total_ms REAL NOT NULL,
  baseline TEXT NOT NULL, baseline_prompt_tokens INTEGER NOT NULL, baseline_completion_tokens INTEGER NOT NULL,
  baseline_cached_tokens INTEGER NOT NULL, baseline_estimated INTEGER NOT NULL,
  baseline_cost INTEGER NOT NULL, agreed INTEGER, request TEXT,
  response TEXT) STRICT;
CREATE INDEX calls_by_time ON calls (time_us);
CREATE TABLE attempts (call INTEGER NOT NULL, number INTEGER NOT NULL, model TEXT NOT NULL,
  local INTEGER NOT NULL, purpose INTEGER NOT NULL, status INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL, cost INTEGER NOT NULL,
  cpu_seconds REAL NOT NULL, first_byte_ms REAL NOT NULL, total_ms REAL NOT NULL,
  PRIMARY KEY (call, number)) STRICT, WITHOUT ROWID;
CREATE TABLE marks (number INTEGER PRIMARY KEY, last_call INTEGER NOT NULL,
  time_us INTEGER NOT NULL, trusted_us INTEGER NOT NULL) STRICT;
PRAGMA application_id = 1413563211;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""


def main() -> None:
    file, records = sys.argv[1], int(sys.argv[2])
    rng = random.Random(1)
    db = sqlite3.connect(file)
    db.executescript(SCHEMA)
    sums = dict.fromkeys(["requests", "local", "upstream", "escalations", "shadow_runs",
                          "prompt_tokens", "cost", "baseline", "exported"], 0)
    for i in range(1, records + 1):
        kind = rng.choice(["small", "small", "escalated", "shadow", "error"])
        asked = {"small": [("small", 0)], "escalated": [("small", 1), ("big/strong", 0)],
                 "shadow": [("small", 0), ("big/strong", 3)], "error": [("big/strong", 2)]}[kind]
        answered = next((m for m, purpose in asked if purpose == 0), "")
        baseline_cost = rng.randrange(50_000_000) if answered else 0
        logged = rng.random() < 0.3
        request = json.dumps({"model": "auto", "messages": [{"role": "user", "content": f"q {i}"}]})
        response = json.dumps({"object": "chat.completion", "model": answered, "choices": []})
        db.execute("INSERT INTO calls VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                   (i, (START + 600 * i) * 1_000_000, f"req-{i}", "/v1/chat/completions",
                    rng.choice(["", "web"]), "work", "auto", answered, "made up",
                    200 if answered else 502, 0, 0, rng.random() * 100, "big/strong",
                    800, 20, 0, 1, baseline_cost, None, request if logged else None,
                    response if logged else None))
        for n, (model, purpose) in enumerate(asked):
            prompt, completion = rng.randrange(2000), rng.randrange(300)
            cost = round((prompt + completion) * MODELS[model] * 1000)
            db.execute("INSERT INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                       (i, n, model, model == "small", purpose, 200, prompt, completion, 0, 0, cost,
                        0.01, 1.0, 2.0))
            sums["prompt_tokens"] += prompt
            sums["cost"] += cost
            sums["local" if model == "small" else "upstream"] += purpose == 0
            sums["escalations"] += purpose == 1
            sums["shadow_runs"] += purpose == 3
        sums["requests"] += 1
        sums["baseline"] += baseline_cost
        sums["exported"] += logged and answered != ""
    db.commit()
    print(json.dumps(sums))


main()
