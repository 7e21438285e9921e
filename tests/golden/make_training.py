#!/usr/bin/env python3
"""Training curves of three small sparse autoencoders in plain PyTorch (f32, one thread).

    python make_training.py OUT_DIR [--check]

Writes OUT_DIR/training-tied.safetensors, training-topk.safetensors and training-relu.safetensors. Each
holds the data pool, the rows that make up every batch, the parameters before the first step, what was
measured at each step (always of the forward pass that step's update was made from) and the parameters
after the last step. All weights are feature-major: one row of d values per latent.

--check trains each again in f64 and prints how far the f32 curve is from it, and writes nothing.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

D, F, BATCH, STEPS, POOL = 16, 64, 64, 200, 2048
LR, ALPHA = 1e-3, 3e-3

torch.set_num_threads(1)


def unit_rows(w):
    return w / w.norm(dim=1, keepdim=True)


def make_data(generator, scale, offset):
    """Sparse non-negative combinations of 32 random unit features, a constant offset and a little noise."""
    features = unit_rows(torch.randn(32, D, generator=generator))
    on = (torch.rand(POOL, 32, generator=generator) < 0.1).float()
    strength = 0.5 + torch.rand(POOL, 32, generator=generator)
    shift = offset * torch.randn(D, generator=generator)
    noise = 0.02 * torch.randn(POOL, D, generator=generator)
    return scale * ((on * strength) @ features + shift + noise)


def make_indices(generator):
    return torch.randint(0, POOL, (STEPS, BATCH), generator=generator)


def geometric_median(data):
    """Weiszfeld's iteration in f64, from the mean, until it stands still."""
    data = data.double()
    at = data.mean(0)
    for _ in range(1000):
        weight = 1.0 / (data - at).norm(dim=1).clamp_min(1e-12)
        new = (weight[:, None] * data).sum(0) / weight.sum()
        if (new - at).norm() < 1e-13:
            break
        at = new
    return at.float()


def project_decoder_gradient(w_dec):
    """Takes out of the gradient of each unit decoder row its component along that row."""
    grad = w_dec.grad
    grad.sub_((grad * w_dec.data).sum(dim=1, keepdim=True) * w_dec.data)


class Curves:
    def __init__(self):
        self.values = {}

    def add(self, **values):
        for name, value in values.items():
            self.values.setdefault(name, []).append(value.detach().item())

    def tensors(self):
        return {n: torch.tensor(v, dtype=torch.float64).to(torch.float32) for n, v in self.values.items()}


def train_tied(dtype):
    """The tied autoencoder of Cunningham et al.; normalising the rows is part of the graph."""
    gen = torch.Generator().manual_seed(11)
    data, indices = make_data(gen, 1.0, 0.0), make_indices(gen)
    e0 = torch.empty(F, D)
    torch.nn.init.xavier_uniform_(e0, generator=gen)
    b0 = torch.zeros(F)

    e, b = (t.to(dtype).clone().requires_grad_() for t in (e0, b0))
    adam = torch.optim.Adam([e, b], lr=LR)
    pool, curves = data.to(dtype), Curves()
    for step in range(STEPS):
        x = pool[indices[step]]
        m = e / e.norm(dim=1, keepdim=True).clamp_min(1e-8)
        c = torch.relu(x @ m.T + b)
        mse = ((x - c @ m) ** 2).mean()
        loss = mse + ALPHA * c.sum(dim=1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        curves.add(loss=loss, mse=mse, l0=(c > 0).sum(dim=1).float().mean())
    return {
        "data": data,
        "indices": indices.to(torch.int32),
        "E0": e0,
        "b0": b0,
        "E_final": e.detach(),
        "b_final": b.detach(),
        **curves.tensors(),
    }


def untied_start(gen):
    data, indices = make_data(gen, 4.0, 0.3), make_indices(gen)
    w_dec0 = unit_rows(torch.randn(F, D, generator=gen))
    start = {"W_enc": w_dec0.clone(), "b_enc": torch.zeros(F), "W_dec": w_dec0, "b_dec": geometric_median(data)}
    return data, indices, start


def untied_step(params, adam, loss):
    """Gradient, projection, clipping, Adam, unit rows; the gradients' norm before the clipping."""
    adam.zero_grad()
    loss.backward()
    project_decoder_gradient(params["W_dec"])
    norm = torch.nn.utils.clip_grad_norm_(list(params.values()), 1.0)
    adam.step()
    with torch.no_grad():
        params["W_dec"].copy_(unit_rows(params["W_dec"]))
    return norm


def untied_result(data, indices, start, params, curves):
    return {
        "data": data,
        "indices": indices.to(torch.int32),
        **{f"{n}0": t for n, t in start.items()},
        **{f"{n}_final": t.detach() for n, t in params.items()},
        **curves.tensors(),
    }


def train_topk(dtype, k=4, k_aux=8, dead_after=10, warm_up=20):
    """TopK with the auxiliary loss on dead latents."""
    gen = torch.Generator().manual_seed(22)
    data, indices, start = untied_start(gen)
    # A quarter of the latents start so low that they are dead for a while.
    start["b_enc"][torch.arange(16) * 4 + 1] = -3.0

    params = {n: t.to(dtype).clone().requires_grad_() for n, t in start.items()}
    w_enc, b_enc, w_dec, b_dec = params.values()
    adam = torch.optim.Adam(list(params.values()), lr=LR)
    pool, curves = data.to(dtype), Curves()
    since_fired = torch.zeros(F, dtype=torch.int64)
    closest = []
    for step in range(STEPS):
        for group in adam.param_groups:
            group["lr"] = LR * min(1.0, (step + 1) / warm_up)
        x = pool[indices[step]]
        pre = (x - b_dec) @ w_enc.T + b_enc
        top, at = pre.topk(k, dim=1)
        f = torch.zeros_like(pre).scatter(1, at, torch.relu(top))
        x_hat = f @ w_dec + b_dec
        loss = ((x - x_hat) ** 2).mean()

        # Dead by the counter as it stands before this step.
        dead = since_fired > dead_after
        aux = torch.zeros((), dtype=dtype)
        if dead.any():
            error = (x - x_hat).detach()
            of_dead = pre.masked_fill(~dead, float("-inf"))
            top_aux, at_aux = of_dead.topk(min(k_aux, int(dead.sum())), dim=1)
            f_aux = torch.zeros_like(pre).scatter(1, at_aux, torch.relu(top_aux))
            aux = ((error - f_aux @ w_dec) ** 2).mean()
        total = loss + aux / 32

        norm = untied_step(params, adam, total)
        fired = (f.detach() > 0).any(dim=0)
        since_fired = torch.where(fired, 0, since_fired + 1)
        curves.add(
            loss=loss,
            aux=aux,
            total=total,
            l0=(f > 0).sum(dim=1).float().mean(),
            dead=dead.sum(),
            grad_norm=norm,
        )
        ranked = pre.detach().sort(dim=1, descending=True).values
        closest.append((ranked[:, k - 1] - ranked[:, k]).min().item())
    if "--check" in sys.argv:
        print(f"topk: closest call between the kept and the dropped: {min(closest):.1e}")
    return untied_result(data, indices, start, params, curves)


def train_relu(dtype):
    """Untied, ReLU, L1."""
    gen = torch.Generator().manual_seed(33)
    data, indices, start = untied_start(gen)

    params = {n: t.to(dtype).clone().requires_grad_() for n, t in start.items()}
    w_enc, b_enc, w_dec, b_dec = params.values()
    adam = torch.optim.Adam(list(params.values()), lr=LR)
    pool, curves = data.to(dtype), Curves()
    for step in range(STEPS):
        x = pool[indices[step]]
        c = torch.relu((x - b_dec) @ w_enc.T + b_enc)
        mse = ((x - (c @ w_dec + b_dec)) ** 2).mean()
        loss = mse + ALPHA * c.sum(dim=1).mean()
        norm = untied_step(params, adam, loss)
        curves.add(loss=loss, mse=mse, l0=(c > 0).sum(dim=1).float().mean(), grad_norm=norm)
    return untied_result(data, indices, start, params, curves)


def main():
    args = [a for a in sys.argv[1:] if a != "--check"]
    if len(args) != 1:
        sys.exit(__doc__)
    out_dir = Path(args[0])
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, train in (("tied", train_tied), ("topk", train_topk), ("relu", train_relu)):
        out = train(torch.float32)
        if "--check" in sys.argv:
            exact = train(torch.float64)
            for key, value in out.items():
                if key in ("data", "indices") or key.endswith("0") and key != "l0":
                    continue
                gap = (value.double() - exact[key].double()).abs().max() / exact[key].abs().max()
                ends = f", {value[0]:.4f} .. {value[-1]:.4f}" if value.shape == (STEPS,) else ""
                print(f"{name} {key}: f32 against f64 {gap:.1e}{ends}")
            continue
        path = out_dir / f"training-{name}.safetensors"
        save_file({n: t.contiguous() for n, t in out.items()}, path, metadata={"torch": torch.__version__})
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, loss {out['loss'][0]:.4f} .. {out['loss'][-1]:.4f}")


if __name__ == "__main__":
    main()
