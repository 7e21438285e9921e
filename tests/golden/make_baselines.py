#!/usr/bin/env python3
"""Baselines and statistics by scikit-learn and scipy, for tests/baselines.rs.

    python make_baselines.py OUT_DIR

Writes OUT_DIR/baselines.safetensors: activations `x` made of independent sources, the covariance and principal
components of them (sklearn.decomposition.PCA), the components of FastICA after a StandardScaler with default
settings, as the authors of Cunningham et al. (2023) ran it, and statistics of a few columns (scipy, sklearn).
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy import stats
from sklearn.decomposition import PCA, FastICA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

ROWS, D = 4000, 6


def sources(rng):
    """Independent, far from Gaussian, of several shapes: sparse, skewed both ways, flat."""
    return np.stack(
        [
            rng.laplace(size=ROWS),
            rng.exponential(size=ROWS),
            -rng.gamma(0.7, size=ROWS),
            rng.uniform(-1, 1, size=ROWS),
            (rng.random(ROWS) < 0.1) * rng.exponential(size=ROWS),
            rng.standard_t(5, size=ROWS),
        ],
        axis=1,
    )


def main():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(D, D))
    offset = 3.0 * rng.normal(size=D)
    x = (sources(rng) @ mixing.T + offset).astype(np.float32)
    wide = x.astype(np.float64)

    pca = PCA(svd_solver="full").fit(wide)
    scaler = StandardScaler().fit(wide)
    ica = FastICA(random_state=0, whiten="unit-variance").fit(scaler.transform(wide))
    print(f"FastICA: {ica.n_iter_} iterations")

    a, b = wide[:200, 0], np.round(wide[:200, 1] + 0.5 * wide[:200, 0])
    positive = a + rng.normal(size=200) > a.mean()
    codes = np.maximum(wide, 0)
    variance = codes.var(axis=0)
    out = {
        "x": x,
        "mean": wide.mean(axis=0),
        # Divided by the number of rows, as mosaec does; sklearn's explained_variance_ divides by one less.
        "covariance": np.cov(wide.T, bias=True),
        "pca_components": pca.components_,
        "pca_variance": pca.explained_variance_ * (ROWS - 1) / ROWS,
        "scale": scaler.scale_,
        "ica_components": ica.components_,
        "ica_mixing": ica.mixing_,
        "true_mixing": mixing,
        "a": a,
        "b": b,
        "positive": positive.astype(np.float32),
        "pearson": [stats.pearsonr(a, b).statistic],
        "spearman": [stats.spearmanr(a, b).statistic],
        # b is rounded, so it has ties.
        "auc": [roc_auc_score(positive, b)],
        "codes_mean": codes.mean(axis=0),
        "codes_variance": variance,
        "codes_skew": (codes**3).mean(axis=0) / variance**1.5,
        "codes_kurtosis": (codes**4).mean(axis=0) / variance**2,
        # Central skewness of raw columns.
        "skewness": stats.skew(wide, axis=0),
    }
    keep = {"a", "b", "pearson", "spearman", "auc"}
    # Contiguous: save_file writes memory as it lies and knows nothing of strides.
    kind = {True: np.float64, False: np.float32}
    tensors = {k: np.ascontiguousarray(v, dtype=kind[k in keep]) for k, v in out.items()}
    save_file(tensors, Path(sys.argv[1]) / "baselines.safetensors")


if __name__ == "__main__":
    main()
