#!/usr/bin/env python3
"""Prefill and decode of one decoder file, ours and llama.cpp's in turn.

    bench/peers/decoders.py build/tack LLAMA_BENCH model.gguf [--threads 2] [--rounds 7] [--prefill 512] [--decode 64]
        [--parallel 8]

Each round runs both, each in a process of its own, tokens following one by one behind the prompt. Prints the
medians in tokens/s, the median of the rounds' ratios (above 1: ours is faster) and the peak memory of both.
--parallel N: also the decode of N sequences at once, together, as a ratio to that of one.
bench/random_decoder.py writes files of a real model's shape.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile


def run(command):
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"failed: {' '.join(command)}")
        out.seek(0)
        return json.load(out), usage.ru_maxrss / 1024


def ours(args, parallel=1):
    result, megabytes = run([args.tack, "bench", args.model, "--threads", str(args.threads), "--prefill",
                             str(args.prefill), "--decode", str(args.decode), "--parallel", str(parallel),
                             "--rounds", "1", "--json"])
    return result["prefill_tps"], result["decode_tps"], megabytes


def theirs(args):
    shared = [args.llama_bench, "-m", args.model, "-t", str(args.threads), "-r", "1", "-o", "json"]
    prefill, megabytes = run(shared + ["-p", str(args.prefill), "-n", "0"])
    decode, _ = run(shared + ["-p", "0", "-n", str(args.decode), "-d", str(args.prefill)])
    return prefill[0]["avg_ts"], decode[0]["avg_ts"], megabytes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tack")
    parser.add_argument("llama_bench")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--parallel", type=int, default=1)
    args = parser.parse_args()
    rounds, together = [], []
    for _ in range(args.rounds):
        rounds.append((ours(args), theirs(args)))
        if args.parallel > 1:
            together.append(ours(args, args.parallel)[1])
    for i, name in enumerate(("prefill", "decode")):
        ratio = statistics.median(a[i] / b[i] for a, b in rounds)
        print(f"{name}: ours {statistics.median(a[i] for a, _ in rounds):.1f}, "
              f"llama.cpp {statistics.median(b[i] for _, b in rounds):.1f} tokens/s, ratio {ratio:.2f}")
    if together:
        ratio = statistics.median(rate / one[1] for rate, (one, _) in zip(together, rounds))
        print(f"decode of {args.parallel} together: {statistics.median(together):.1f} tokens/s, "
              f"{ratio:.2f} times that of one")
    print(f"peak memory: ours {max(a[2] for a, _ in rounds):.0f}, llama.cpp {max(b[2] for _, b in rounds):.0f} MB, "
          f"file {os.path.getsize(args.model) / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
