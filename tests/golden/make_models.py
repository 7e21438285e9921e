#!/usr/bin/env python3
"""Small random-weight language models and what Hugging Face transformers computes with them.

    python make_models.py OUT_DIR

Writes OUT_DIR/<case>/ with config.json (and config-other-keys.json where a model family has an older
and a newer way to write its rotary settings), the weights as published checkpoints of that family lay
them out, and golden.safetensors: input_ids, logits and every hook point under its TransformerLens name,
for the raw weights (nothing folded or centred), in f32 with eager attention.

The golden values come from the model as transformers loads it from the written folder, so the folder
alone is enough to get them. Every value that is not directly a module's input or output is recomputed
here and checked against a module's value before it is written.
"""

import json
import math
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
)
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.llama import modeling_llama

VOCAB = 97
BATCH, POS = 2, 13
LAYERS = 2

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


# ---------------------------------------------------------------------------------------------- cases


def neox_config(parallel, d_model, heads, d_mlp, tied, eps):
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "classifier_dropout": 0.1,
        "eos_token_id": 0,
        "hidden_act": "gelu",
        "hidden_dropout": 0.0,
        "hidden_size": d_model,
        "initializer_range": 0.02,
        "intermediate_size": d_mlp,
        "layer_norm_eps": eps,
        "max_position_embeddings": 32,
        "model_type": "gpt_neox",
        "num_attention_heads": heads,
        "num_hidden_layers": LAYERS,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "use_parallel_residual": parallel,
        "vocab_size": VOCAB,
    }


def gpt2_config(d_model, heads, inner, tied, eps):
    return {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 0,
        "embd_pdrop": 0.1,
        "eos_token_id": 0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": eps,
        "model_type": "gpt2",
        "n_embd": d_model,
        "n_head": heads,
        "n_inner": inner,
        "n_layer": LAYERS,
        "n_positions": 24,
        "resid_pdrop": 0.1,
        "scale_attn_weights": True,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": VOCAB,
    }


def llama_config(d_model, heads, kv_heads, d_mlp, tied, eps, bias=False, head_dim=None):
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": bias,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "hidden_act": "silu",
        "hidden_size": d_model,
        "initializer_range": 0.02,
        "intermediate_size": d_mlp,
        "max_position_embeddings": 64,
        "mlp_bias": bias,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": LAYERS,
        "pretraining_tp": 1,
        "rms_norm_eps": eps,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": VOCAB,
    }
    if kv_heads is not None:
        config["num_key_value_heads"] = kv_heads
    if head_dim is not None:
        config["head_dim"] = head_dim
    return config


LLAMA3_ROPE = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 32,
    "rope_type": "llama3",
}


# `config` is what config.json says apart from the rotary settings; `rope` is what config.json says about
# those, `other_rope` the same settings in the other family of keys, `rope_parameters` what transformers
# must understand from either.
CASES = {
    "neox-parallel": dict(
        seed=101,
        config=neox_config(True, 48, 3, 192, tied=False, eps=1e-5),
        rope={"rotary_pct": 0.25, "rotary_emb_base": 5000},
        other_rope={"rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 5000, "rope_type": "default"}},
        rope_parameters={"partial_rotary_factor": 0.25, "rope_theta": 5000, "rope_type": "default"},
        dtype=torch.float32,
        buffers="neox",
    ),
    "neox-sequential": dict(
        seed=102,
        config=neox_config(False, 40, 5, 112, tied=True, eps=1e-2),
        rope={"rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 10000.0, "rope_type": "default"}},
        other_rope={"rotary_pct": 0.5, "rotary_emb_base": 10000.0},
        rope_parameters={"partial_rotary_factor": 0.5, "rope_theta": 10000.0, "rope_type": "default"},
        dtype=torch.float32,
    ),
    "gpt2-tied": dict(
        seed=103,
        config=gpt2_config(36, 3, None, tied=True, eps=1e-5),
        dtype=torch.float32,
        buffers="gpt2",
        strip_prefix="transformer.",
    ),
    "gpt2-untied-f16": dict(
        seed=104,
        config=gpt2_config(32, 4, 72, tied=False, eps=1e-2),
        dtype=torch.float16,
    ),
    "llama-gqa": dict(
        seed=105,
        config=llama_config(32, 4, 2, 56, tied=False, eps=1e-5, head_dim=12),
        rope={"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
        other_rope={"rope_theta": 10000.0, "rope_scaling": None},
        rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
        dtype=torch.float32,
    ),
    "llama3-rope-bf16-sharded": dict(
        seed=106,
        config=llama_config(32, 2, 1, 60, tied=True, eps=1e-5, bias=True),
        # The way the published Llama 3.x checkpoints write it.
        rope={"rope_theta": 500.0, "rope_scaling": LLAMA3_ROPE},
        other_rope={"rope_parameters": {"rope_theta": 500.0, **LLAMA3_ROPE}},
        rope_parameters={"rope_theta": 500.0, **LLAMA3_ROPE},
        dtype=torch.bfloat16,
        shards=3,
    ),
    "llama-mha-f32": dict(
        seed=107,
        # No num_key_value_heads and no head_dim, as in the first Llama checkpoints.
        config=llama_config(24, 3, None, 64, tied=False, eps=1e-2),
        rope={"rope_theta": 2000.0, "rope_scaling": None},
        other_rope={"rope_parameters": {"rope_theta": 2000.0, "rope_type": "default"}},
        rope_parameters={"rope_theta": 2000.0, "rope_type": "default"},
        dtype=torch.float32,
        buffers="llama",
    ),
}

CONFIG_CLASS = {"gpt_neox": GPTNeoXConfig, "gpt2": GPT2Config, "llama": LlamaConfig}


# -------------------------------------------------------------------------------------------- weights


def randomise(model, generator):
    """Weights large enough that every part of the model shows in the logits."""

    def draw(parameter, std, mean=0.0):
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * std + mean
        parameter.data.copy_(values)

    for name, parameter in sorted(model.named_parameters()):
        leaf = name.split(".")[-2]
        norm = "norm" in leaf or leaf.startswith("ln_")
        if norm and name.endswith("weight"):
            draw(parameter, 0.3, 1.0)
        elif name.endswith("bias"):
            draw(parameter, 0.25)
        elif leaf in ("wte", "embed_in", "embed_tokens"):
            draw(parameter, 0.6)
        elif leaf == "wpe":
            draw(parameter, 0.4)
        elif leaf in ("lm_head", "embed_out"):
            draw(parameter, 0.3)
        elif any(part in leaf for part in ("c_attn", "query_key_value", "q_proj", "k_proj", "v_proj")):
            draw(parameter, 0.28)
        else:
            draw(parameter, 0.16)


def old_buffers(kind, config):
    """What older checkpoints carry beside their weights; a loader has to skip it."""
    out = {}
    for layer in range(LAYERS):
        if kind == "gpt2":
            n = config.n_positions
            out[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(n, n)).view(1, 1, n, n)
        elif kind == "neox":
            n = config.max_position_embeddings
            at = f"gpt_neox.layers.{layer}.attention."
            out[at + "bias"] = torch.tril(torch.ones(n, n, dtype=torch.bool)).view(1, 1, n, n)
            out[at + "masked_bias"] = torch.tensor(-1e9)
            d_head = config.hidden_size // config.num_attention_heads
            dim = int(d_head * config.rope_parameters["partial_rotary_factor"])
            base = config.rope_parameters["rope_theta"]
            out[at + "rotary_emb.inv_freq"] = 1.0 / (base ** (torch.arange(0, dim, 2).float() / dim))
        elif kind == "llama":
            dim, base = config.head_dim, config.rope_parameters["rope_theta"]
            out[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = 1.0 / (
                base ** (torch.arange(0, dim, 2).float() / dim)
            )
    return out


def write_weights(folder, tensors, shards):
    meta = {"format": "pt"}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata=meta)
        return
    names = sorted(tensors)
    weight_map, total = {}, 0
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        # Dealt out in turn, so that the tensors of one layer lie in different files.
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file, metadata=meta)
        for name, tensor in part.items():
            weight_map[name] = file
            total += tensor.numel() * tensor.element_size()
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


# ---------------------------------------------------------------------------------------------- hooks


class Recorder:
    """Keeps the inputs and outputs of the modules it is put on."""

    def __init__(self):
        self.inputs, self.kwargs, self.outputs = {}, {}, {}
        self.handles = []

    def on(self, name, module):
        def hook(_module, args, kwargs, output):
            assert name not in self.outputs, f"{name} ran twice"
            first = args[0] if args else kwargs["hidden_states"]
            self.inputs[name] = first.detach().clone()
            self.kwargs[name] = kwargs
            self.outputs[name] = (
                tuple(o.detach().clone() for o in output if o is not None)
                if isinstance(output, tuple)
                else output.detach().clone()
            )

        self.handles.append(module.register_forward_hook(hook, with_kwargs=True))

    def off(self):
        for handle in self.handles:
            handle.remove()


def same(what, a, b, tol=2e-6):
    error = ((a - b).abs().max() / b.abs().max().clamp_min(1e-12)).item()
    assert a.shape == b.shape and error <= tol, f"{what}: {tuple(a.shape)} {tuple(b.shape)} error {error:.2e}"


def hook_points(model, input_ids):
    """Runs the model; the hook points and the logits, in the model's own precision."""
    config = model.config
    family = config.model_type
    rec = Recorder()
    if family == "gpt2":
        base, layers = model.transformer, model.transformer.h
        rec.on("embed", base.wte)
        rec.on("pos_embed", base.wpe)
        rec.on("ln_final", base.ln_f)
        names = dict(ln1="ln_1", ln2="ln_2", attn="attn", mlp="mlp")
        attn_names, mlp_names = dict(qkv="c_attn", out="c_proj"), dict(pre="c_fc", out="c_proj")
    elif family == "gpt_neox":
        base, layers = model.gpt_neox, model.gpt_neox.layers
        rec.on("embed", base.embed_in)
        rec.on("ln_final", base.final_layer_norm)
        names = dict(ln1="input_layernorm", ln2="post_attention_layernorm", attn="attention", mlp="mlp")
        attn_names = dict(qkv="query_key_value", out="dense")
        mlp_names = dict(pre="dense_h_to_4h", out="dense_4h_to_h")
    else:
        base, layers = model.model, model.model.layers
        rec.on("embed", base.embed_tokens)
        rec.on("ln_final", base.norm)
        names = dict(ln1="input_layernorm", ln2="post_attention_layernorm", attn="self_attn", mlp="mlp")
        attn_names = dict(q="q_proj", k="k_proj", v="v_proj", out="o_proj")
        mlp_names = dict(pre="gate_proj", up="up_proj", out="down_proj")
    for i, layer in enumerate(layers):
        rec.on(f"{i}", layer)
        for short, name in names.items():
            rec.on(f"{i}.{short}", getattr(layer, name))
        for short, name in attn_names.items():
            rec.on(f"{i}.attn.{short}", getattr(getattr(layer, names["attn"]), name))
        for short, name in mlp_names.items():
            rec.on(f"{i}.mlp.{short}", getattr(getattr(layer, names["mlp"]), name))

    with torch.no_grad():
        logits = model(input_ids=input_ids, use_cache=False).logits
    rec.off()

    batch, pos = input_ids.shape
    heads = config.num_attention_heads
    causal = torch.tril(torch.ones(pos, pos, dtype=torch.bool))
    norm_modules = {}

    def normalized(at, module):
        x, y = rec.inputs[at], rec.outputs[at]
        if family != "llama":
            # On the LayerNorm's output, weight and bias applied, as TransformerLens 1 and 2 have it.
            # (TransformerLens 3 moved this hook to before them, as it always was for RMSNorm.)
            return y
        # RMSNorm: the hook is on x / scale, before the weight.
        x = x / (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
        same(at + " x weight", x * module.weight, y)
        return x

    out = {"hook_embed": rec.outputs["embed"]}
    if family == "gpt2":
        out["hook_pos_embed"] = rec.outputs["pos_embed"].expand(batch, -1, -1)
        same("embed + pos_embed", out["hook_embed"] + out["hook_pos_embed"], rec.inputs["0"])
    else:
        same("embed", out["hook_embed"], rec.inputs["0"])

    for i, layer in enumerate(layers):
        at = f"blocks.{i}."
        resid_pre, resid_post = rec.inputs[f"{i}"], rec.outputs[f"{i}"]
        if isinstance(resid_post, tuple):
            resid_post = resid_post[0]
        attention = getattr(layer, names["attn"])
        attn_out, pattern_hf = rec.outputs[f"{i}.attn"]
        mlp_out = rec.outputs[f"{i}.mlp"]

        # q, k, v: [batch, pos, head, d_head], before the rotary embedding.
        if family == "gpt2":
            q, k, v = (
                t.view(batch, pos, heads, -1) for t in rec.outputs[f"{i}.attn.qkv"].split(config.n_embd, dim=-1)
            )
        elif family == "gpt_neox":
            q, k, v = rec.outputs[f"{i}.attn.qkv"].view(batch, pos, heads, -1).chunk(3, dim=-1)
        else:
            q = rec.outputs[f"{i}.attn.q"].view(batch, pos, heads, -1)
            k = rec.outputs[f"{i}.attn.k"].view(batch, pos, config.num_key_value_heads, -1)
            v = rec.outputs[f"{i}.attn.v"].view(batch, pos, config.num_key_value_heads, -1)
        d_head = q.shape[-1]

        q_rot, k_rot, v_all = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if family != "gpt2":
            cos, sin = rec.kwargs[f"{i}.attn"]["position_embeddings"]
            module = modeling_gpt_neox if family == "gpt_neox" else modeling_llama
            q_rot, k_rot = module.apply_rotary_pos_emb(q_rot, k_rot, cos, sin)
        if k_rot.shape[1] != heads:
            # Query head h reads key and value head h // (heads per key head).
            k_rot = k_rot.repeat_interleave(heads // k_rot.shape[1], dim=1)
            v_all = v_all.repeat_interleave(heads // v_all.shape[1], dim=1)
        scores = q_rot @ k_rot.transpose(-1, -2) / math.sqrt(d_head)
        pattern = scores.masked_fill(~causal, float("-inf")).softmax(-1)
        same(f"{i} pattern", pattern, pattern_hf)
        assert pattern_hf[..., ~causal].abs().max() == 0
        z = rec.inputs[f"{i}.attn.out"].view(batch, pos, heads, d_head)
        same(f"{i} z", (pattern_hf @ v_all).transpose(1, 2), z)
        same(f"{i} z W_O", getattr(attention, attn_names["out"])(z.flatten(2)), attn_out)

        out[at + "hook_resid_pre"] = resid_pre
        out[at + "ln1.hook_normalized"] = normalized(f"{i}.ln1", getattr(layer, names["ln1"]))
        out[at + "attn.hook_q"], out[at + "attn.hook_k"], out[at + "attn.hook_v"] = q, k, v
        out[at + "attn.hook_attn_scores"] = scores.masked_fill(~causal, 0.0)
        out[at + "attn.hook_pattern"] = pattern_hf
        out[at + "attn.hook_z"] = z
        out[at + "hook_attn_out"] = attn_out
        if family == "gpt_neox" and config.use_parallel_residual:
            same(f"{i} ln2 input", rec.inputs[f"{i}.ln2"], resid_pre)
            same(f"{i} resid_post", resid_pre + attn_out + mlp_out, resid_post)
        else:
            resid_mid = rec.inputs[f"{i}.ln2"]
            same(f"{i} resid_mid", resid_pre + attn_out, resid_mid)
            same(f"{i} resid_post", resid_mid + mlp_out, resid_post)
            out[at + "hook_resid_mid"] = resid_mid
        out[at + "ln2.hook_normalized"] = normalized(f"{i}.ln2", getattr(layer, names["ln2"]))
        pre, post = rec.outputs[f"{i}.mlp.pre"], rec.inputs[f"{i}.mlp.out"]
        if family == "gpt2":
            act = 0.5 * pre * (1 + torch.tanh(math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)))
        elif family == "gpt_neox":
            act = 0.5 * pre * (1 + torch.erf(pre / math.sqrt(2)))
        else:
            act = pre * torch.sigmoid(pre) * rec.outputs[f"{i}.mlp.up"]
        same(f"{i} mlp post", act, post)
        out[at + "mlp.hook_pre"], out[at + "mlp.hook_post"] = pre, post
        out[at + "hook_mlp_out"] = mlp_out
        out[at + "hook_resid_post"] = resid_post
        following = f"{i + 1}" if i + 1 < len(layers) else "ln_final"
        same(f"{i} resid_post goes on", resid_post, rec.inputs[following])

        # The case is worth something only if no part of the model is idle.
        assert pattern_hf[:, :, -1].max(-1).values.mean() > 1.5 / pos, "attention is nearly uniform"
        assert attn_out.std() > 0.1 and mlp_out.std() > 0.1

    final = base.ln_f if family == "gpt2" else base.final_layer_norm if family == "gpt_neox" else base.norm
    out["ln_final.hook_normalized"] = normalized("ln_final", final)
    head = model.get_output_embeddings().weight
    same("logits", rec.outputs["ln_final"] @ head.T, logits)
    out["logits"] = logits
    return {name: tensor.detach().contiguous().clone() for name, tensor in out.items()}


# ----------------------------------------------------------------------------------------------- main


def build(config):
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()


def make(name, case, out_dir):
    folder = out_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    generator = torch.Generator().manual_seed(case["seed"])

    # The configuration as transformers is told it in Python ...
    plain = {k: v for k, v in case["config"].items() if k not in ("architectures", "model_type")}
    config_class = CONFIG_CLASS[case["config"]["model_type"]]
    if "rope_parameters" in case:
        config = config_class(**plain, rope_parameters=dict(case["rope_parameters"]))
    else:
        config = config_class(**plain)
    # ... and as the files have it, in one set of keys or the other.
    dtype = str(case["dtype"]).removeprefix("torch.")
    written = [("config.json", {**case["config"], **case.get("rope", {}), "torch_dtype": dtype})]
    if "other_rope" in case:
        written.append(("config-other-keys.json", {**case["config"], **case["other_rope"], "torch_dtype": dtype}))
    for file, values in written:
        (folder / file).write_text(json.dumps(dict(sorted(values.items())), indent=2) + "\n")
        loaded = AutoConfig.from_pretrained(folder / file)
        for key, value in plain.items():
            assert getattr(loaded, key) == value, (file, key, getattr(loaded, key), value)
        if "rope_parameters" in case:
            assert loaded.rope_parameters == case["rope_parameters"], (file, loaded.rope_parameters)
        ignore = {"dtype", "architectures", "_name_or_path", "transformers_version"}
        a, b = ({k: v for k, v in c.to_dict().items() if k not in ignore} for c in (loaded, config))
        assert a == b, (file, {k: (a.get(k), b.get(k)) for k in a.keys() | b.keys() if a.get(k) != b.get(k)})

    model = build(config)
    randomise(model, generator)
    for parameter in model.parameters():
        parameter.data.copy_(parameter.data.to(case["dtype"]).float())

    tensors = {n: t.detach().to(case["dtype"]).contiguous().clone() for n, t in model.state_dict().items()}
    if config.tie_word_embeddings:
        tensors = {n: t for n, t in tensors.items() if not n.startswith(("lm_head", "embed_out"))}
    elif config.model_type == "gpt_neox":
        # The name in every published GPT-NeoX checkpoint.
        tensors = {n.replace("lm_head", "embed_out"): t for n, t in tensors.items()}
    prefix = case.get("strip_prefix", "")
    tensors = {n.removeprefix(prefix): t for n, t in tensors.items()}
    tensors |= old_buffers(case.get("buffers"), config)
    write_weights(folder, tensors, case.get("shards", 1))

    read, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    read.eval()
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    for (n, a), (m, b) in zip(sorted(model.state_dict().items()), sorted(read.state_dict().items()), strict=True):
        assert n == m and torch.equal(a, b), (n, m)

    input_ids = torch.randint(0, VOCAB, (BATCH, POS), generator=generator)
    input_ids[0, 3], input_ids[1, 5] = 0, VOCAB - 1
    golden = hook_points(read, input_ids)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in golden.values())

    # How far f32 is from f64, as a measure of what a test may ask for. (RMSNorm and the rotary angles stay
    # in f32 inside transformers.)
    exact = build(config)
    exact.load_state_dict(model.state_dict())
    with torch.no_grad():
        exact = exact.double()(input_ids=input_ids, use_cache=False).logits
    gap = ((golden["logits"] - exact).abs().max() / exact.abs().max()).item()

    # The rotary scaling has to matter at this length.
    note = ""
    if case.get("rope_parameters", {}).get("rope_type") == "llama3":
        flat = config_class(**plain, rope_parameters={"rope_theta": 500.0, "rope_type": "default"})
        other = build(flat)
        other.load_state_dict(model.state_dict())
        with torch.no_grad():
            other = other(input_ids=input_ids, use_cache=False).logits
        change = ((golden["logits"] - other).abs().max() / other.abs().max()).item()
        assert change > 0.02, change
        note = f", without the rotary scaling {change:.2f} away"
        ratio = build(flat).model.rotary_emb.inv_freq / read.model.rotary_emb.inv_freq
        note += f" (frequencies divided by {[round(r, 3) for r in ratio.tolist()]})"

    golden["input_ids"] = input_ids.to(torch.int32)
    save_file(
        golden,
        folder / "golden.safetensors",
        # One key only: safetensors writes several in any order, and the file should come out the same.
        metadata={"made_by": f"transformers {transformers.__version__}, torch {torch.__version__}"},
    )
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(
        f"{name}: {size / 1024:.0f} KiB, {len(golden)} tensors, max |logit| {golden['logits'].abs().max():.2f}, "
        f"f32 against f64 {gap:.1e} of it{note}"
    )


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out_dir = Path(sys.argv[1])
    for name, case in CASES.items():
        make(name, case, out_dir)


if __name__ == "__main__":
    main()
