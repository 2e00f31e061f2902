"""Writes test/fixtures/metrics.json: what scikit-learn and SciPy make of labels, predictions and scores, ties and one-sided cases included.

    python scripts/metrics_fixtures.py        (needs: pip install scikit-learn scipy)
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn import metrics

out = Path(__file__).resolve().parent.parent / "test/fixtures/metrics.json"
rng = np.random.default_rng(7)
warnings.simplefilter("ignore")


def number(x):
    x = float(x)
    return x if math.isfinite(x) else None


def classes(name, labels, predicted):
    binary = set(labels) | set(predicted) <= {0, 1}
    return {
        "name": name,
        "labels": [int(x) for x in labels],
        "predicted": [int(x) for x in predicted],
        "accuracy": metrics.accuracy_score(labels, predicted),
        "binary": metrics.f1_score(labels, predicted) if binary else None,
        "macro": metrics.f1_score(labels, predicted, average="macro"),
        "micro": metrics.f1_score(labels, predicted, average="micro"),
        "matthews": metrics.matthews_corrcoef(labels, predicted),
    }


def scores(name, labels, values):
    return {
        "name": name,
        "labels": [int(x) for x in labels],
        "scores": list(map(float, values)),
        "auc": number(metrics.roc_auc_score(labels, values)),
        "ap": number(metrics.average_precision_score(labels, values)),
    }


def pairs(name, x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    return {
        "name": name,
        "x": list(x),
        "y": list(y),
        "pearson": number(stats.pearsonr(x, y)[0]),
        "spearman": number(stats.spearmanr(x, y)[0]),
        "mse": metrics.mean_squared_error(x, y),
        "rmse": metrics.root_mean_squared_error(x, y),
    }


def top(name, labels, logits, k):
    return {
        "name": name,
        "labels": [int(x) for x in labels],
        "logits": list(map(float, np.ravel(logits))),
        "k": k,
        "accuracy": metrics.top_k_accuracy_score(labels, logits, k=k, labels=range(logits.shape[1])),
    }


labels = rng.integers(0, 2, 60)
noisy = np.where(rng.random(60) < 0.25, 1 - labels, labels)
four = rng.integers(0, 4, 80)
noisy_four = np.where(rng.random(80) < 0.4, rng.integers(0, 4, 80), four)
x = rng.normal(size=50)
y = 0.6 * x + rng.normal(size=50)

twelve = np.arange(40) % 12
logits = np.random.default_rng(8).normal(size=(40, 12)) + 1.5 * np.eye(12)[twelve]

data = {
    "classes": [
        classes("binary", labels, noisy),
        classes("perfect", labels, labels),
        classes("all wrong", labels, 1 - labels),
        classes("predictions all of class 0", labels, np.zeros(60)),
        classes("labels all of class 1", np.ones(60), noisy),
        classes("both constant", np.zeros(5), np.zeros(5)),
        classes("four classes", four, noisy_four),
        classes("a class only among predictions", [0, 1, 1, 0, 1], [0, 1, 2, 2, 1]),
        classes("a class only among labels", [0, 1, 2, 0, 2], [0, 1, 1, 0, 0]),
        classes("one example", [1], [1]),
    ],
    "scores": [
        scores("distinct", labels, labels + rng.normal(size=60)),
        scores("ties", labels, np.round(labels + rng.normal(size=60))),
        scores("all tied", labels, np.zeros(60)),
        scores("separated", labels, labels * 2.0 - 1),
        scores("reversed", labels, -labels * 1.0),
        scores("infinite scores", [0, 1, 0, 1], [-1e30, 0.0, 0.0, 1e30]),
    ],
    "top": [top("the likeliest", twelve, logits, 1), top("five of twelve", twelve, logits, 5), top("all", twelve, logits, 12)],
    "pairs": [
        pairs("correlated", x, y),
        pairs("ties", np.round(x), np.round(y)),
        pairs("monotone", x, np.exp(3 * x)),
        pairs("opposite", x, -2 * x + 1),
        pairs("far from zero", x + 1e6, y + 1e6),
        pairs("constant", np.ones(5), [1, 2, 3, 4, 5]),
        pairs("two examples", [1, 2], [4, 3]),
    ],
}
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps(data, indent=None, separators=(",", ":")) + "\n")
print(out.name, out.stat().st_size)
