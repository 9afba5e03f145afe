"""Writes src/models/golden/decoders.json: logits of tiny decoders of each family in Hugging Face
transformers (f32), for configurations that take every branch. The weights are a function of their
names, which src/models/decoder_test.cc computes as well.

    python tools/golden/decoders.py
"""
import json
import math
import pathlib

import numpy as np
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Ministral3Config,
    Ministral3ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

MASK = (1 << 64) - 1


def weight(name, shape):
    """[-1, 1) from the first 24 bits of splitmix64(fnv1a(name) + i), scaled by a power of two."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(start) + np.arange(math.prod(shape), dtype=np.uint64)
        z += np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    values = (z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1
    if len(shape) == 2:
        return values.reshape(shape) * 2.0 ** round(math.log2(1.7 / math.sqrt(shape[1])))
    return values * 0.25


SIZES = dict(
    vocab_size=96, hidden_size=32, intermediate_size=48, num_attention_heads=4,
    num_key_value_heads=2, num_hidden_layers=2, max_position_embeddings=256, rms_norm_eps=1e-5,
    bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
CASES = {
    "llama, tied": (LlamaForCausalLM, LlamaConfig, dict(
        SIZES, model_type="llama", tie_word_embeddings=True, rope_theta=10000.0), 11),
    "llama 3": (LlamaForCausalLM, LlamaConfig, dict(
        SIZES, model_type="llama", tie_word_embeddings=False, head_dim=16,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0,
                             low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=64)), 90),
    "mistral, window": (MistralForCausalLM, MistralConfig, dict(
        SIZES, model_type="mistral", tie_word_embeddings=False, sliding_window=7, head_dim=8), 20),
    "gemma 3": (Gemma3ForCausalLM, Gemma3TextConfig, dict(
        SIZES, model_type="gemma3_text", num_hidden_layers=7, num_key_value_heads=1, head_dim=16,
        query_pre_attn_scalar=20, sliding_window=8, rms_norm_eps=1e-6, tie_word_embeddings=True,
        hidden_activation="gelu_pytorch_tanh"), 25),
    "gemma 3, 4B": (Gemma3ForCausalLM, Gemma3TextConfig, dict(
        SIZES, model_type="gemma3_text", num_hidden_layers=6, head_dim=8, query_pre_attn_scalar=8,
        sliding_window=8, rope_theta=1000000.0, rope_local_base_freq=10000.0,
        rope_scaling=dict(rope_type="linear", factor=8.0), sliding_window_pattern=6), 40),
    "ministral 3": (Ministral3ForCausalLM, Ministral3Config, dict(
        SIZES, model_type="ministral3", head_dim=16, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="yarn", type="yarn", rope_theta=1000000.0, factor=16.0,
                             original_max_position_embeddings=24, max_position_embeddings=256,
                             beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
                             llama_4_scaling_beta=0.1)), 80),
}


def main():
    out = {}
    for name, (model_class, config_class, settings, length) in CASES.items():
        config = config_class(**{k: v for k, v in settings.items() if k != "model_type"})
        config._attn_implementation = "eager"
        model = model_class(config).eval()
        state = {
            key: torch.tensor(
                weight(key, tuple(value.shape))
                + (1.0 if len(value.shape) == 1 and "gemma" not in name else 0.0),
                dtype=torch.float32)
            for key, value in model.state_dict().items()
        }
        if settings.get("tie_word_embeddings", "gemma" in name):
            state["lm_head.weight"] = state["model.embed_tokens.weight"]
        model.load_state_dict(state)
        ids = [(7 * i * i + 3 * i + 1) % 96 for i in range(length)]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        rows = sorted({0, 1, length // 2, length - 1})
        out[name] = {
            "config": settings,
            # What save_pretrained() would write: newer names for the same.
            "saved_config": json.loads(config.to_json_string()),
            "ids": ids,
            "logits": {str(r): [float(f"{v:.8g}") for v in logits[r].tolist()] for r in rows},
        }
        print(f"{name}: {length} tokens, last logits {logits[-1][:3].tolist()}")
    path = pathlib.Path(__file__).parents[2] / "src/models/golden/decoders.json"
    path.write_text(json.dumps(out))


if __name__ == "__main__":
    main()
