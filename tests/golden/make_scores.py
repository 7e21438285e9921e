"""Scores of predictions as scipy and scikit-learn compute them, for tests/interpretation.rs.

    pip install numpy scipy scikit-learn
    python tests/golden/make_scores.py > tests/golden/scores.json

Ten fragments of 64 tokens with few activations above 0, the first five stronger, and predictions that see a part of
them. Numbers are rounded to what f32 holds exactly, so that both sides read the same ones.
"""

import json

import numpy as np
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

rng = np.random.default_rng(7)
shape = (10, 64)
scale = np.where(np.arange(10) < 5, 4.0, 1.0)[:, None]
fires = rng.random(shape) < 0.06
true = np.where(fires, scale * rng.gamma(2.0, 1.0, shape), 0.0)
seen = fires & (rng.random(shape) < 0.7)
noise = rng.random(shape) < 0.02
predicted = np.where(seen, 10.0 * rng.random(shape), 0.0) + np.where(noise, 3.0 * rng.random(shape), 0.0)
true = np.float64(np.float32(true))
predicted = np.float64(np.float32(predicted))


def correlation(a, p):
    return float(pearsonr(a.ravel(), p.ravel()).statistic)


truth = rng.random(20) < 0.4
strength = np.round(truth * 0.5 + rng.normal(size=20), 1)
print(
    json.dumps(
        {
            "activations": true.tolist(),
            "predictions": predicted.tolist(),
            "top_and_random": correlation(true, predicted),
            "top": correlation(true[:5], predicted[:5]),
            "random": correlation(true[5:], predicted[5:]),
            "r2": float(1 - np.mean((true - predicted) ** 2) / np.mean(true**2)),
            "absolute_deviation": float(1 - np.mean(np.abs(true - predicted)) / np.mean(np.abs(true))),
            "truth": truth.tolist(),
            "strength": strength.tolist(),
            "balanced_accuracy": float(balanced_accuracy_score(truth, strength > 0.25)),
            "auc": float(roc_auc_score(truth, strength)),
        }
    )
)
