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

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from export_hf import check_names, export, require, training_nodes
from fixture_algorithms import Step, run
from fixture_models import (
    Problem,
    Tensors,
    draw_masks,
    draw_probe,
    in_double,
    make_batch,
    make_model,
    parameters_of,
)

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "torch"
MADE_BY = "scripts/make_fixtures.py"
# exporter, opset, folded
EXPORTS = [("torchscript", 14, False), ("torchscript", 17, False), ("dynamo", 18, False)]
FOLDED = [("torchscript", 17, True), ("dynamo", 18, True)]
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


def write(file: Path, tensors: Tensors) -> None:
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(copies, file, metadata={"made_by": MADE_BY})
    file.chmod(0o644)


# Derivatives


def reference(problem: Problem, inputs: Tensors, labels: torch.Tensor, probe: Tensors) -> Tensors:
    """Logits, loss, gradient and HVP in float64, with the HVP checked against a central difference."""
    w = parameters_of(problem.model)
    loss, gradient = problem.gradient(w, inputs, labels)
    hvp = problem.hvp(w, inputs, labels, probe)
    r = 1e-5
    ahead, behind = (
        problem.gradient({name: w[name] + side * r * probe[name] for name in w}, inputs, labels)[1] for side in (1, -1)
    )
    error = sum(float((((ahead[n] - behind[n]) / (2 * r) - hvp[n]) ** 2).sum()) for n in w) ** 0.5
    size = sum(float((value**2).sum()) for value in hvp.values()) ** 0.5
    require(error <= 1e-6 * size, f"HVP and central difference differ by {error / size:.1e}")
    tensors = {"logits": problem.logits(w, inputs), "loss": loss, "labels": labels}
    for kind, values in (("input", inputs), ("grad", gradient), ("z", probe), ("hvp", hvp)):
        tensors.update({f"{kind}/{name}": value.detach() for name, value in values.items()})
    return tensors


# Exports


def with_masks(model: onnx.ModelProto, masks: list[torch.Tensor], ratios: list[float]) -> onnx.ModelProto:
    """A copy in which the k-th live Dropout multiplies by the k-th mask instead."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for k, node in enumerate(training_nodes(copy, "Dropout")):
        scaled = masks[k].numpy().astype(np.float32) / np.float32(1 - ratios[k])
        copy.graph.initializer.append(numpy_helper.from_array(scaled, f"fixture_mask_{k}"))
        node.CopyFrom(helper.make_node("Mul", [node.input[0], f"fixture_mask_{k}"], [node.output[0]], name=node.name))
    return copy


def run_onnx(model: onnx.ModelProto, inputs: Tensors) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the dropout ratios are no longer read
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})[0]


def folded_names(model: onnx.ModelProto, parameters: Tensors) -> dict[str, dict[str, object]]:
    """Which parameter each anonymous initializer holds, found by value: {initializer: {parameter, transposed}}."""
    found: dict[str, dict[str, object]] = {}
    for tensor in model.graph.initializer:
        if tensor.name in parameters or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 1:
            continue
        value = numpy_helper.to_array(tensor)
        for name, parameter in parameters.items():
            for transposed in (False, True):
                candidate = parameter.numpy().T if transposed else parameter.numpy()
                if candidate.shape == value.shape and np.array_equal(candidate, value):
                    found[tensor.name] = {"parameter": name, "transposed": transposed}
    return found


def make_export(
    name: str,
    mode: str,
    kind: tuple[str, int, bool],
    masks: list[torch.Tensor],
    ratios: list[float],
    logits: np.ndarray,
) -> dict[str, object]:
    """Exports one model one way, checks it, writes it; returns its entry of the index."""
    exporter, opset, fold = kind
    model = make_model(name).train(mode == "train")
    inputs, _ = make_batch(name, model, seed=1)
    dynamic = {0: "batch"} if name == "mlp" else {0: "batch", 1: "sequence"}
    traced, _ = make_batch(name, model, seed=2, rows=3, sequence=5)
    exported = export(
        model,
        traced,
        exporter=exporter,
        opset=opset,
        mode=mode,
        axes={input_name: dynamic for input_name in traced},
        longest={} if name == "mlp" else {"sequence": 12},
        fold=fold,
    )
    onnx.checker.check_model(exported)
    parameters = {n: value.detach() for n, value in model.named_parameters()}
    folded = folded_names(exported, parameters)
    if fold:
        initializers = {tensor.name for tensor in exported.graph.initializer}
        held = (initializers & set(parameters)) | {str(entry["parameter"]) for entry in folded.values()}
        require(held == set(parameters), f"{name}: folding hid {sorted(set(parameters) - held)}")
    else:
        check_names(exported, model)
    dropouts = training_nodes(exported, "Dropout")
    require(len(dropouts) == len(masks), f"{name} {kind}: {len(dropouts)} Dropout nodes, {len(masks)} masks")
    difference = np.abs(run_onnx(with_masks(exported, masks, ratios), inputs) - logits).max() / np.abs(logits).max()
    require(difference < 1e-5, f"{name} {mode} {kind}: logits differ by {difference:.1e}")
    file = f"{name}-{mode}-{exporter}{opset}{'-folded' if fold else ''}.onnx"
    onnx.save(exported, OUT / file)
    return {
        "file": file,
        "model": name,
        "mode": mode,
        "exporter": exporter,
        "opset": opset,
        "folded": folded if fold else None,
        "reference": f"{name}-{mode}.safetensors",
        "dropouts": [
            {"node": node.name, "output": node.output[0], "mask": f"mask/{k}", "ratio": ratios[k]}
            for k, node in enumerate(dropouts)
        ],
    }


def make_model_fixtures(name: str, mode: str) -> list[dict[str, object]]:
    """The reference of one model in one mode, and its exports."""
    model = in_double(make_model(name)).train(mode == "train")
    inputs, labels = make_batch(name, model, seed=1)
    doubles = {n: value.double() if value.is_floating_point() else value for n, value in inputs.items()}
    masks, ratios = draw_masks(model, doubles, seed=3)
    tensors = reference(Problem(model, masks), inputs, labels, draw_probe(parameters_of(model), seed=4))
    tensors.update({f"mask/{k}": mask for k, mask in enumerate(masks)})
    write(OUT / f"{name}-{mode}.safetensors", tensors)
    kinds = list(EXPORTS[1:] if name == "mlp" else EXPORTS)
    if mode == "eval" and name != "mlp":
        kinds += FOLDED
    logits = tensors["logits"].detach().numpy()
    return [make_export(name, mode, kind, masks, ratios, logits) for kind in kinds]


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
    batches = [make_batch(name, single, seed=100 + t) for t in range(STEPS)]
    probes = [draw_probe(parameters_of(single), seed=200 + k) for k in range((STEPS + FREQUENCY - 1) // FREQUENCY)]
    data = {f"input/{key}": torch.stack([inputs[key] for inputs, _ in batches]) for key in batches[0][0]}
    data["labels"] = torch.stack([labels for _, labels in batches])
    data.update({f"z/{k}/{key}": value for k, probe in enumerate(probes) for key, value in probe.items()})
    write(OUT / f"{name}-steps.safetensors", data)

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
        write(OUT / file, tensors)
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
