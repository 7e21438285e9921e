#!/usr/bin/env python3
"""Gradients at every hook point of the small models, by autograd through Hugging Face transformers.

    python make_gradients.py DIR

Reads DIR/<case>/ as make_models.py wrote it and writes DIR/<case>/gradients.safetensors: input_ids, target_ids
and, for three objectives, the value for each context and gradients under TransformerLens names.

- `ce`: the sum of next-token losses; gradients at every hook point.
- `kl`: KL(this run || run on target_ids) at the last position; gradients at the first residual stream.
- `ld`: logit(5) - logit(11) at the last position; the same.

The model runs in f64 (rotary angles stay in f32, as transformers makes them). Only attention's inner function
and RMSNorm's forward are written here, to get at tensors inside of them; the values of every hook point are
checked against golden.safetensors, which transformers made without them.
"""

import math
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.gpt2 import modeling_gpt2
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.llama import modeling_llama

CASES = ["neox-parallel", "neox-sequential", "gpt2-tied", "llama-gqa", "llama3-rope-bf16-sharded"]
POS = 6

torch.set_num_threads(1)
kept = {}


def keep(name, tensor):
    if tensor.requires_grad:
        tensor.retain_grad()
    assert name not in kept, name
    kept[name] = tensor


def attention(module, query, key, value, attention_mask, scaling=None, **_):
    at = f"blocks.{module.layer_idx}.attn."
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = query @ key.transpose(-1, -2) * scale
    keep(at + "hook_attn_scores", scores)
    causal = torch.tril(torch.ones(scores.shape[-2:], dtype=torch.bool))
    pattern = scores.masked_fill(~causal, -math.inf).softmax(-1)
    keep(at + "hook_pattern", pattern)
    return (pattern @ value).transpose(1, 2), pattern


def rms_norm(module, x):
    y = x * (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).rsqrt()
    keep(module.hook_name, y)
    return module.weight * y


for modeling in (modeling_gpt2, modeling_gpt_neox, modeling_llama):
    modeling.eager_attention_forward = attention
modeling_llama.LlamaRMSNorm.forward = rms_norm


def watch(model):
    """Puts hooks on the model that keep its tensors; `parts` says how to cut q, k and v out of one."""
    family = model.config.model_type
    base = model.transformer if family == "gpt2" else model.gpt_neox if family == "gpt_neox" else model.model

    def output(name, module):
        module.register_forward_hook(lambda m, a, out: keep(name, out[0] if isinstance(out, tuple) else out))

    def entry(name, module):
        module.register_forward_pre_hook(
            lambda m, a, k: keep(name, a[0] if a else k["hidden_states"]), with_kwargs=True
        )

    def norm(name, module):
        if family == "llama":
            module.hook_name = name
        else:
            output(name, module)

    output("hook_embed", base.wte if family == "gpt2" else base.embed_in if family == "gpt_neox" else base.embed_tokens)
    for i, layer in enumerate(base.h if family == "gpt2" else base.layers):
        at = f"blocks.{i}."
        entry(at + "hook_resid_pre", layer)
        output(at + "hook_resid_post", layer)
        ln1, ln2 = (layer.ln_1, layer.ln_2) if family == "gpt2" else (layer.input_layernorm, layer.post_attention_layernorm)
        norm(at + "ln1.hook_normalized", ln1)
        norm(at + "ln2.hook_normalized", ln2)
        entry(at + "hook_resid_mid", ln2)
        attn = layer.attn if family == "gpt2" else layer.attention if family == "gpt_neox" else layer.self_attn
        output(at + "hook_attn_out", attn)
        output(at + "hook_mlp_out", layer.mlp)
        if family == "llama":
            for short, module in dict(q=attn.q_proj, k=attn.k_proj, v=attn.v_proj).items():
                output(at + f"attn.hook_{short}", module)
            out, pre, post = attn.o_proj, layer.mlp.gate_proj, layer.mlp.down_proj
        elif family == "gpt2":
            output(at + "qkv", attn.c_attn)
            out, pre, post = attn.c_proj, layer.mlp.c_fc, layer.mlp.c_proj
        else:
            output(at + "qkv", attn.query_key_value)
            out, pre, post = attn.dense, layer.mlp.dense_h_to_4h, layer.mlp.dense_4h_to_h
        entry(at + "attn.hook_z", out)
        output(at + "mlp.hook_pre", pre)
        entry(at + "mlp.hook_post", post)
    norm("ln_final.hook_normalized", base.ln_f if family == "gpt2" else base.final_layer_norm if family == "gpt_neox" else base.norm)


def hook_points(config, tensors):
    """What was kept, in TransformerLens' shapes; of values and of gradients alike."""
    family, heads, out = config.model_type, config.num_attention_heads, {}
    for name, t in tensors.items():
        at, leaf = name.rpartition(".")[::2]
        by_head = lambda x: x.reshape(*x.shape[:2], -1, x.shape[-1] // heads)
        if leaf == "qkv":
            parts = by_head(t).chunk(3, -1) if family == "gpt_neox" else [by_head(p) for p in t.chunk(3, -1)]
            out |= {f"{at}.attn.hook_{short}": part for short, part in zip("qkv", parts)}
        elif leaf == "hook_z":
            out[name] = by_head(t)
        elif leaf in ("hook_q", "hook_k", "hook_v"):
            out[name] = t.reshape(*t.shape[:2], -1, config.head_dim)
        elif leaf == "hook_resid_mid" and family == "gpt_neox" and config.use_parallel_residual:
            continue
        else:
            out[name] = t
    return out


def forward(model, ids):
    kept.clear()
    return model(input_ids=ids, use_cache=False).logits


def make(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model = model.double().eval()
    watch(model)
    golden = load_file(folder / "golden.safetensors")
    every = golden["input_ids"].long()
    ids, targets = every[:, :POS], every[:, POS : 2 * POS]

    logits = forward(model, ids)
    values = hook_points(model.config, kept)
    causal = torch.tril(torch.ones(POS, POS, dtype=torch.bool))
    for name, value in values.items():
        want = golden[name][:, :, :POS, :POS] if "attn_scores" in name or "pattern" in name else golden[name][:, :POS]
        value = value.masked_fill(~causal, 0.0) if "attn_scores" in name else value
        error = ((value - want).abs().max() / want.abs().max()).item()
        assert value.shape == want.shape and error < 2e-5, (name, value.shape, want.shape, error)
    missing = set(golden) - set(values) - {"input_ids", "logits", "hook_pos_embed"}
    assert not missing, missing

    out = {"input_ids": ids.to(torch.int32), "target_ids": targets.to(torch.int32)}

    def grads(name, objective, points=None):
        out[f"{name}.objective"] = objective
        objective.sum().backward()
        found = hook_points(model.config, {n: t.grad for n, t in kept.items()})
        if "hook_pos_embed" in golden:
            found["hook_pos_embed"] = found["hook_embed"]
        for point, gradient in found.items():
            if points is None or point in points:
                out[f"{name}.{point}"] = gradient

    logp = logits.log_softmax(-1)
    grads("ce", -logp[:, :-1].gather(-1, ids[:, 1:, None]).sum((1, 2)))
    with torch.no_grad():
        q = forward(model, targets)[:, -1].log_softmax(-1)
    p = forward(model, ids)[:, -1].log_softmax(-1)
    first = ["blocks.0.hook_resid_pre"]
    grads("kl", (p.exp() * (p - q)).sum(-1), first)
    last = forward(model, ids)[:, -1]
    grads("ld", last[:, 5] - last[:, 11], first)

    out = {n: (t if t.dtype == torch.int32 else t.float()).detach().contiguous().clone() for n, t in out.items()}
    save_file(out, folder / "gradients.safetensors")
    print(folder.name, len(out), f"{(folder / 'gradients.safetensors').stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for case in CASES:
        make(Path(sys.argv[1]) / case)
