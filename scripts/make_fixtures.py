#!/usr/bin/env python3
"""Make test/fixtures/torch: tiny exports, and what PyTorch computes for them in float64.

    python scripts/make_fixtures.py

test/fixtures/README.md describes the files. Every export is run by onnxruntime with the stored dropout masks put in
place of its Dropout nodes and compared with PyTorch, which proves that masks and nodes are matched; every
Hessian-vector product is compared with a central difference; every trajectory is run again in float32, to prove it well
conditioned.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from export_hf import require
from fixture_algorithms import Step, run
from fixture_exports import Kind, make_case, make_export, write
from fixture_models import Problem, draw_probe, in_double, make_batch, make_model, parameters_of

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "torch"
MADE_BY = "scripts/make_fixtures.py"
EXPORTS: list[Kind] = [("torchscript", 14, False), ("torchscript", 17, False), ("dynamo", 18, False)]
FOLDED: list[Kind] = [("torchscript", 17, True), ("dynamo", 18, True)]
FREQUENCY, STEPS, KEPT = 3, 10, (1, 2, 10)
CURVSAM = {"rho": 0.05, "beta": 0.9, "delta": 0.01, "frequency": FREQUENCY}
# Key biases shift all scores of a query alike: their gradient is 0 but for rounding, which a small eps would normalise
# into steps of size lr. With 1e-4, float32 can follow.
ADAMW = {"lr": 5e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-4, "weight_decay": 0.01}
# name: ascent, base, hyper-parameters
ALGORITHMS = {
    "curvsam-sgd": ("curvsam", "sgd", {**CURVSAM, "lr": 0.05, "momentum": 0.0}),
    "curvsam-adamw": ("curvsam", "adamw", {**CURVSAM, **ADAMW}),
    "sam-nesterov": ("sam", "sgd", {"rho": 0.05, "lr": 0.02, "momentum": 0.9}),
}


def make_model_fixtures(name: str, mode: str) -> list[dict[str, object]]:
    """The reference of one model in one mode, and its exports."""
    case = make_case(name, mode, make_model, 12)
    write(OUT / case.reference, case.tensors, MADE_BY)
    kinds = list(EXPORTS[1:] if name == "mlp" else EXPORTS)
    if mode == "eval" and name != "mlp":
        kinds += FOLDED
    return [make_export(case, kind, OUT) for kind in kinds]


# Trajectories


def check_conditioning(exact: list[Step], single: list[Step], title: str) -> float:
    """Float32 follows the float64 trajectory; returns the largest relative error of a tensor at the end."""
    worst = 0.0
    for name, value in exact[-1].w.items():
        for reference_value, other in ((value, single[-1].w[name]), (exact[-1].h[name], single[-1].h[name])):
            worst = max(worst, float((other.double() - reference_value).norm() / reference_value.norm()))
    require(worst < 2e-5, f"{title}: float32 differs from float64 by {worst:.1e} after {len(exact)} steps")
    return worst


def make_trajectories(name: str) -> list[dict[str, object]]:
    """The batches and probes of a model, and one trajectory per algorithm."""
    single = make_model(name).eval()
    batches = [make_batch(single, seed=100 + t) for t in range(STEPS)]
    probes = [draw_probe(parameters_of(single), seed=200 + k) for k in range((STEPS + FREQUENCY - 1) // FREQUENCY)]
    data = {f"input/{key}": torch.stack([inputs[key] for inputs, _ in batches]) for key in batches[0][0]}
    data["labels"] = torch.stack([labels for _, labels in batches])
    data.update({f"z/{k}/{key}": value for k, probe in enumerate(probes) for key, value in probe.items()})
    write(OUT / f"{name}-steps.safetensors", data, MADE_BY)

    model = in_double(make_model(name)).eval()
    entries = []
    for title, (ascent, base, hyper) in ALGORITHMS.items():
        steps = run(Problem(model, []), parameters_of(model), batches, probes, ascent, base, hyper)
        again = run(Problem(single, []), parameters_of(single), batches, probes, ascent, base, hyper)
        worst = check_conditioning(steps, again, f"{name} {title}")
        tensors = {
            field: torch.stack([getattr(step, field) for step in steps])
            for field in ("loss", "perturbed_loss", "grad_norm", "perturbation_norm")
        }
        for count in KEPT:
            tensors.update({f"after/{count}/{key}": value for key, value in steps[count - 1].w.items()})
            if ascent == "curvsam":
                values = steps[count - 1].h.items()
                tensors.update({f"after/{count}/curvature/{key}": value for key, value in values})
        file = f"{name}-{title}.safetensors"
        write(OUT / file, tensors, MADE_BY)
        print(f"{file}: loss {steps[0].loss:.4f} to {steps[-1].loss:.4f}, float32 within {worst:.1e}")
        entries.append(
            {
                "file": file,
                "export": f"{name}-eval-torchscript17.onnx",
                "data": f"{name}-steps.safetensors",
                "ascent": ascent,
                "base": base,
                "nesterov": base == "sgd" and hyper["momentum"] > 0,
                "hyper": hyper,
                "steps": STEPS,
                "kept": list(KEPT),
            }
        )
    return entries


def main() -> int:
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    exports = []
    for name in ("bert", "roberta", "mlp"):
        for mode in ("eval", "train"):
            exports += make_model_fixtures(name, mode)
    trajectories = [entry for name in ("roberta", "mlp") for entry in make_trajectories(name)]
    index = {"exports": exports, "trajectories": trajectories}
    (OUT / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf8")
    sizes = [file.stat().st_size for file in OUT.iterdir()]
    print(f"{len(sizes)} files, {sum(sizes):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
