"""What PyTorch takes for the work that `mosaec bench` measures: one JSON object a line on stdout.

Training steps as SAELens takes them: a dense encoder, top-k scattered into a dense code (or ReLU
with L1), a dense decoder, autograd, clipping, Adam, decoder rows of unit norm. Forward passes by
Hugging Face transformers, cut after the layer whose residual is wanted. Activations and weights are
random: the time of dense products does not depend on them.

    python benches/peers/torch_peers.py                 # CPU, and CUDA where there is one
    python benches/peers/torch_peers.py --quick         # small shapes, a few seconds
    python benches/peers/torch_peers.py --work topk_512 # one of them (a part of its name)

Every step is timed by itself. `ms_per_step` is the least of them, which favours PyTorch where other
programs share the machine; `ms_median` stands beside it.
"""

import argparse
import json
import os
import statistics
import sys
import time

import torch

# Names are those of src/bench/shapes.rs.
TRAIN = {
    "topk_512": dict(arch="topk", d=512, f=16384, k=32, batch=1024),
    "topk_768": dict(arch="topk", d=768, f=24576, k=32, batch=2048),
    "tied_512": dict(arch="tied", d=512, f=4096, l1=1e-3, batch=2048),
    "relu_512": dict(arch="relu", d=512, f=4096, l1=1e-3, batch=2048),
}
TRAIN_GPU = {
    "topk_768_wide": dict(arch="topk", d=768, f=24576, k=32, batch=4096),
    "topk_2048": dict(arch="topk", d=2048, f=65536, k=32, batch=4096),
}
TRAIN_QUICK = {
    "topk_quick": dict(arch="topk", d=64, f=512, k=8, batch=128),
    "tied_quick": dict(arch="tied", d=64, f=256, l1=1e-3, batch=128),
}
# layers: how many run, up to the residual after blocks.{layers - 1}.
FORWARD = {
    "forward_inkling-4l": dict(config="inkling", layers=3, batch=32, context=128),
    "forward_pythia-70m": dict(d=512, heads=8, mlp=2048, total=6, layers=3, batch=8, context=256),
}
FORWARD_GPU = {
    "forward_pythia-70m": dict(d=512, heads=8, mlp=2048, total=6, layers=3, batch=32, context=256),
    "forward_pythia-410m": dict(
        d=1024, heads=16, mlp=4096, total=24, layers=12, batch=32, context=256
    ),
}
FORWARD_QUICK = {"forward_inkling-4l": dict(config="inkling", layers=3, batch=2, context=64)}
INKLING = dict(d=128, heads=4, mlp=512, total=4, vocab=4096, positions=256)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def say(line):
    print(line, file=sys.stderr, flush=True)


def emit(**fields):
    print(json.dumps(fields), flush=True)


def device_fields(device):
    if device == "cuda":
        name = torch.cuda.get_device_name()
        return dict(device="cuda", device_name=name, torch=torch.__version__)
    return dict(device="cpu", threads=torch.get_num_threads(), torch=torch.__version__)


def times(once, device, seconds, least):
    """Milliseconds of each call after one (CUDA: three) that warms up."""
    cuda = device == "cuda"
    for _ in range(3 if cuda else 1):
        once()
    if cuda:
        torch.cuda.synchronize()
    out, begin = [], time.perf_counter()
    while len(out) < least or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        once()
        if cuda:
            torch.cuda.synchronize()
        out.append(1e3 * (time.perf_counter() - start))
    return out


class Sae(torch.nn.Module):
    """An SAE with SAELens' orientation: W_enc [d, F], W_dec [F, d]."""

    def __init__(self, arch, d, f, k=0, l1=0.0, device="cpu"):
        super().__init__()
        rows = torch.nn.functional.normalize(torch.randn(f, d, device=device), dim=1)
        self.arch, self.k, self.l1 = arch, k, l1
        self.W_dec = torch.nn.Parameter(rows)
        self.b_enc = torch.nn.Parameter(torch.zeros(f, device=device))
        if arch != "tied":
            self.W_enc = torch.nn.Parameter(rows.t().clone().contiguous())
            self.b_dec = torch.nn.Parameter(torch.zeros(d, device=device))

    def loss(self, x):
        if self.arch == "tied":
            # Cunningham et al. 2023: unit rows inside the graph, no decoder bias.
            w = torch.nn.functional.normalize(self.W_dec, dim=1)
            codes = torch.relu(x @ w.t() + self.b_enc)
            return (codes @ w - x).pow(2).mean() + self.l1 * codes.sum(1).mean()
        pre = (x - self.b_dec) @ self.W_enc + self.b_enc
        if self.arch == "topk":
            values, indices = torch.topk(pre, self.k, dim=-1, sorted=False)
            codes = torch.zeros_like(pre).scatter_(-1, indices, values.relu())
            return (codes @ self.W_dec + self.b_dec - x).pow(2).mean()
        codes = torch.relu(pre)
        return (codes @ self.W_dec + self.b_dec - x).pow(2).mean() + self.l1 * codes.sum(1).mean()


def train(work, arch, d, f, batch, device, seconds, k=0, l1=0.0, quick=False):
    """Both of Adam's implementations that PyTorch offers on the device; the faster one counts."""
    best = None
    x = torch.randn(batch, d, device=device)
    variants = {"adam default": {}, "adam fused": dict(fused=True)}
    for variant, options in variants.items():
        torch.manual_seed(0)
        sae = Sae(arch, d, f, k, l1, device)
        adam = torch.optim.Adam(sae.parameters(), lr=3e-4, **options)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()

        def step():
            adam.zero_grad()
            sae.loss(x).backward()
            if arch != "tied":
                torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
            adam.step()
            if arch != "tied":
                with torch.no_grad():
                    sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)

        ms = times(step, device, seconds, 2 if quick else 5)
        row = dict(
            peer="torch",
            work=work,
            ms_per_step=min(ms),
            ms_median=statistics.median(ms),
            tokens_per_s=1e3 * batch / min(ms),
            steps=len(ms),
            variant=variant,
            peak_bytes=torch.cuda.max_memory_allocated() if device == "cuda" else None,
            **device_fields(device),
        )
        say(f"  {work} ({variant}): {min(ms):.1f} ms a step (median {row['ms_median']:.1f})")
        if best is None or row["ms_per_step"] < best["ms_per_step"]:
            best = row
        del sae, adam
    emit(**best)


def language_model(device, layers, config=None, **shape):
    """A GPT-NeoX cut after `layers` blocks: embedding and blocks, no final norm, no head."""
    from transformers import GPTNeoXConfig, GPTNeoXModel

    inkling = config == "inkling"
    s = INKLING if inkling else dict(vocab=50304, positions=2048, **shape)
    made = GPTNeoXConfig(
        vocab_size=s["vocab"],
        hidden_size=s["d"],
        num_hidden_layers=s["total"],
        num_attention_heads=s["heads"],
        intermediate_size=s["mlp"],
        max_position_embeddings=s["positions"],
        rotary_pct=0.25,
        use_cache=False,
    )
    model = GPTNeoXModel(made)
    if inkling:
        from safetensors.torch import load_file

        folder = os.path.join(ROOT, "assets", "inkling-4l")
        file = os.path.join(folder, "model.safetensors")
        weights = {n.removeprefix("gpt_neox."): w.float() for n, w in load_file(file).items()}
        wrong = model.load_state_dict(weights, strict=False)
        if wrong.missing_keys:
            say(f"  {file} lacks {wrong.missing_keys}; they stay random")
    model.layers = model.layers[:layers]
    model.final_layer_norm = torch.nn.Identity()
    return model.to(device).float().eval(), s["vocab"]


def forward(work, batch, context, device, seconds, quick=False, **shape):
    model, vocab = language_model(device, **shape)
    ids = torch.randint(1, vocab, (batch, context), device=device)

    def once():
        with torch.inference_mode():
            model(ids, use_cache=False).last_hidden_state

    ms = times(once, device, seconds, 2 if quick else 5)
    tokens = batch * context
    import transformers

    emit(
        peer="torch",
        work=work,
        ms_per_step=min(ms),
        ms_median=statistics.median(ms),
        tokens_per_s=1e3 * tokens / min(ms),
        steps=len(ms),
        variant=f"batch {batch} x {context}, {model.config._attn_implementation}",
        transformers=transformers.__version__,
        **device_fields(device),
    )
    say(f"  {work}: {1e3 * tokens / min(ms):.0f} tokens/s (median {1e3 * tokens / statistics.median(ms):.0f})")


def product(work, n, device, seconds, quick=False):
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    ms = times(lambda: a @ b, device, seconds, 2 if quick else 5)
    emit(
        peer="torch",
        work=work,
        ms_per_step=min(ms),
        ms_median=statistics.median(ms),
        gflops=2 * n**3 / min(ms) / 1e6,
        steps=len(ms),
        variant="TF32 off" if device == "cuda" else "f32",
        **device_fields(device),
    )
    say(f"  {work}: {2 * n**3 / min(ms) / 1e6:.0f} GFLOP/s")


def sparsify(work, d, f, k, batch, seconds, **_):
    """The sparse decoder of eai-sparsify, which is written in Triton and runs on CUDA only."""
    from sparsify import SparseCoder
    from sparsify.config import SparseCoderConfig

    sae = SparseCoder(d, SparseCoderConfig(num_latents=f, k=k), device="cuda", dtype=torch.float32)
    adam = torch.optim.Adam(sae.parameters(), lr=3e-4, fused=True)
    x = torch.randn(batch, d, device="cuda")
    torch.cuda.reset_peak_memory_stats()

    def step():
        adam.zero_grad()
        sae(x).fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        adam.step()
        sae.set_decoder_norm_to_unit_norm()

    ms = times(step, "cuda", seconds, 5)
    emit(
        peer="sparsify",
        work=work,
        ms_per_step=min(ms),
        ms_median=statistics.median(ms),
        tokens_per_s=1e3 * batch / min(ms),
        steps=len(ms),
        variant="adam fused",
        peak_bytes=torch.cuda.max_memory_allocated(),
        **device_fields("cuda"),
    )
    say(f"  {work} (eai-sparsify): {min(ms):.1f} ms a step")


def skip(peer, work, why):
    say(f"  skipped: {peer} {work}: {why}")
    emit(peer=peer, work=work, skipped=why)


def attempt(peer, work, run, **arguments):
    """One measurement; a failure is a skip line, since the others still count."""
    try:
        run(work=work, **arguments)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        skip(peer, work, f"{type(error).__name__}: {first}")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description="PyTorch's side of scripts/bench-peers")
    parser.add_argument("--quick", action="store_true", help="small shapes, a few seconds")
    parser.add_argument("--work", default="", help="only works with this in their name")
    parser.add_argument("--device", choices=["cpu", "cuda", "all"], default="all")
    parser.add_argument("--seconds", type=float, default=6.0, help="at least this long a work")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    seconds = 0.2 if args.quick else args.seconds
    devices = ["cpu"] if args.device != "cuda" else []
    if args.device != "cpu":
        if torch.cuda.is_available():
            devices.append("cuda")
        else:
            say("no CUDA device: PyTorch runs on the CPU only")
    for device in devices:
        cuda = device == "cuda"
        say(f"PyTorch {torch.__version__} on {device}, {torch.get_num_threads()} threads")
        common = dict(device=device, seconds=seconds, quick=args.quick)
        trained = TRAIN_QUICK if args.quick else {**TRAIN, **(TRAIN_GPU if cuda else {})}
        for work, shape in trained.items():
            if args.work in work:
                attempt("torch", work, train, **shape, **common)
        forwards = FORWARD_QUICK if args.quick else {**FORWARD, **(FORWARD_GPU if cuda else {})}
        for work, shape in forwards.items():
            if args.work in work:
                attempt("torch", work, forward, **shape, **common)
        n = 256 if args.quick else 4096 if cuda else 1024
        if args.work in f"product_{n}":
            attempt("torch", f"product_{n}", product, n=n, **common)
    sparse = {w: s for w, s in {**TRAIN, **TRAIN_GPU}.items() if s["arch"] == "topk" and args.work in w}
    if not sparse or args.device == "cpu":
        return
    if "cuda" not in devices:
        skip("sparsify", "topk", "eai-sparsify's sparse decoder is written in Triton and needs CUDA")
    elif not args.quick:
        for work, shape in sparse.items():
            attempt("sparsify", work, sparsify, seconds=seconds, **shape)


if __name__ == "__main__":
    main()
