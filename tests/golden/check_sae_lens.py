#!/usr/bin/env python3
"""Reads a sparse autoencoder written by mosaec with the Python package sae-lens and compares.

    python check_sae_lens.py SAE_DIR X.safetensors

SAE_DIR holds cfg.json and sae_weights.safetensors. X.safetensors holds `x` [n, d_in] and what mosaec
made of it: `codes` [n, d_sae] and `recon` [n, d_in]. Exit status 1 if either is off by more than 1e-4,
the largest difference over the largest value.
"""

import json
import sys
from pathlib import Path

import sae_lens
import torch
from sae_lens import SAE
from safetensors.torch import load_file

LIMIT = 1e-4

torch.set_num_threads(1)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    # As a user would: no dtype given, so that cfg.json has to say it.
    sae = SAE.load_from_disk(sys.argv[1], device="cpu")
    given = {name: tensor.float() for name, tensor in load_file(sys.argv[2]).items()}
    cfg = sae.cfg.to_dict()
    meta = cfg.pop("metadata")
    print(f"sae-lens {sae_lens.__version__}: {type(sae).__name__} {cfg}")
    print(f"metadata: {meta}")
    written = json.loads((Path(sys.argv[1]) / "cfg.json").read_text())
    lost = [key for key, value in written.get("metadata", {}).items() if meta.get(key) != value]
    if lost or "metadata" not in written:
        # sae-lens takes a cfg.json without metadata.sae_lens_version for one from before its version 6.
        print(f"warning: sae-lens did not keep the metadata as written: {lost or 'there is none'}")
    unknown = sorted(set(written) - set(cfg) - {"metadata"})
    if unknown:
        print(f"warning: keys sae-lens passes over: {unknown}")

    with torch.no_grad():
        codes = sae.encode(given["x"])
        # Decoding is checked on mosaec's codes, so that each half stands alone.
        found = {"codes": codes, "recon": sae.decode(given["codes"]), "encode + decode": sae.decode(codes)}
    failed = False
    for name, value in found.items():
        want = given["recon" if name != "codes" else "codes"]
        if value.shape != want.shape:
            print(f"{name}: shape {tuple(value.shape)} here, {tuple(want.shape)} in the file: FAILED")
            failed = True
            continue
        error = ((value - want).abs().max() / value.abs().max().clamp_min(1e-12)).item()
        bad = not error <= LIMIT
        failed |= bad
        print(f"{name}: max relative error {error:.2e}{': FAILED' if bad else ''}")
    here, there = codes > 0, given["codes"] > 0
    if here.shape == there.shape:
        print(f"active codes: {int(here.sum())}, in one but not the other: {int((here != there).sum())}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
