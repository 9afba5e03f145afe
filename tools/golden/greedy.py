"""Writes tests/golden/greedy.json: what transformers (f32) continues prompts with, greedily, for the trained
checkpoints of llama2.c in TACK_DATA/weights, as token ids and text. tests/greedy_test.sh compares.

    python tools/golden/greedy.py        (needs: pip install torch transformers)

Prints the smallest margin of a chosen token over the next one: far above the rounding of f32, or ids could
differ for no fault.
"""
import json
import os
import pathlib
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import llama2c_to_hf  # noqa: E402

DATA = pathlib.Path(os.environ.get("TACK_DATA", ROOT.parent / "shared/data")) / "weights"
# name: checkpoint, tokenizer; that of tok361 was not published.
MODELS = {
    "stories260K": ("stories260K/stories260K.bin", "stories260K/tok512.model"),
    "llama2xs": ("llama2xs/model.bin", "stories260K/tok512.model"),
    "tok105": ("babyllama_1M/tok105_model5000.bin", "babyllama_1M/tok105.model"),
    "tok361": ("babyllama_1M/tok361_model5000.bin", None),
}
PROMPTS = ["", "Once upon a time, there was a little", "Tom and Lily went to the park. \"Look", "The dog was sad"]
NEW = 210


def with_bytes(vocabulary, out):
    """tok361: the characters of tok105 behind 256 bytes."""
    pieces, _ = llama2c_to_hf.read_tokenizer(vocabulary)
    some = [(f"<0x{b:02X}>", 0.0, llama2c_to_hf.BYTE) for b in range(256)]
    out.write_bytes(llama2c_to_hf.write_sentencepiece(pieces[:3] + some + pieces[3:]))
    return out


def main():
    out = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, (checkpoint, vocabulary) in MODELS.items():
            directory = pathlib.Path(scratch) / name
            llama2c_to_hf.convert(
                DATA / checkpoint, DATA / vocabulary if vocabulary else
                with_bytes(DATA / MODELS["tok105"][1], pathlib.Path(scratch) / "tok361.model"), directory)
            model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
            tokenizer = AutoTokenizer.from_pretrained(directory)
            runs, margin = [], float("inf")
            for text in PROMPTS:
                ids = tokenizer(text)["input_ids"] if text else [llama2c_to_hf.BOS]
                start = len(ids)
                with torch.no_grad():
                    state = model(torch.tensor([ids]), use_cache=True)
                    for _ in range(NEW):
                        best = state.logits[0, -1].topk(2)
                        margin = min(margin, float(best.values[0] - best.values[1]))
                        ids.append(int(best.indices[0]))
                        state = model(torch.tensor([ids[-1:]]), past_key_values=state.past_key_values)
                runs.append({"prompt": ids[:start], "next": ids[start:], "text": tokenizer.decode(ids)})
            out[name] = {"checkpoint": checkpoint, "tokenizer": vocabulary, "runs": runs}
            print(f"{name}: margin {margin:.5f}: {runs[1]['text'][:200]!r}")
    path = ROOT / "tests/golden/greedy.json"
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
