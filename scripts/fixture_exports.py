"""Exports of a model with what PyTorch computes for them in float64: how fixtures are made and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from export_hf import check_names, export, require, training_nodes
from fixture_models import (
    Problem,
    Tensors,
    batch_norms,
    draw_masks,
    draw_probe,
    in_double,
    make_batch,
    parameters_of,
)

# exporter, opset, folded
Kind = tuple[str, int, bool]


def write(file: Path, tensors: Tensors, made_by: str) -> None:
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(copies, file, metadata={"made_by": made_by})
    file.chmod(0o644)


@dataclass
class Case:
    """A model in one mode: how to build it, and its reference on one batch."""

    name: str
    mode: str
    build: Callable[[str], torch.nn.Module]
    longest: int
    masks: list[torch.Tensor]
    ratios: list[float]
    tensors: Tensors

    @property
    def reference(self) -> str:
        return f"{self.name}-{self.mode}.safetensors"


def make_case(name: str, mode: str, build: Callable[[str], torch.nn.Module], longest: int) -> Case:
    """Draws a batch, masks and a probe, and computes the reference. longest: upper bound of the sequence axis."""
    model = in_double(build(name)).train(mode == "train")
    inputs, labels = make_batch(model, seed=1)
    doubles = {n: value.double() if value.is_floating_point() else value for n, value in inputs.items()}
    masks, ratios = draw_masks(model, doubles, seed=3)
    tensors = derivatives(Problem(model, masks), inputs, labels, draw_probe(parameters_of(model), seed=4))
    if mode == "train" and batch_norms(model):
        moved = Problem(in_double(build(name)).train(), masks).moved_statistics(inputs)
        tensors.update({f"next/{n}": value for n, value in moved.items()})
    tensors.update({f"mask/{k}": mask for k, mask in enumerate(masks)})
    return Case(name, mode, build, longest, masks, ratios, tensors)


def derivatives(problem: Problem, inputs: Tensors, labels: torch.Tensor, probe: Tensors) -> Tensors:
    """Logits, loss, gradient and HVP in float64, with the HVP checked against a central difference."""
    w = parameters_of(problem.model)
    loss, gradient = problem.gradient(w, inputs, labels)
    hvp = problem.hvp(w, inputs, labels, probe)
    r = 1e-6
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


def with_masks(model: onnx.ModelProto, masks: list[torch.Tensor], ratios: list[float]) -> onnx.ModelProto:
    """A copy in which the k-th live Dropout multiplies by the k-th mask instead."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for k, node in enumerate(training_nodes(copy, "Dropout")):
        scaled = masks[k].numpy().astype(np.float32) / np.float32(1 - ratios[k])
        copy.graph.initializer.append(numpy_helper.from_array(scaled, f"fixture_mask_{k}"))
        node.CopyFrom(helper.make_node("Mul", [node.input[0], f"fixture_mask_{k}"], [node.output[0]], name=node.name))
    return copy


def idle_norms(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Batch norms that go by stored statistics."""
    training = training_nodes(model, "BatchNormalization")
    return [node for node in model.graph.node if node.op_type == "BatchNormalization" and node not in training]


def start_norms(model: onnx.ModelProto) -> int:
    """Puts idle batch norms into training mode; returns how many there were."""
    idle = idle_norms(model)
    for node in idle:
        node.attribute.append(helper.make_attribute("training_mode", 1))
        node.output.extend([f"{node.output[0]}_mean", f"{node.output[0]}_variance"])
    return len(idle)


def run_onnx(model: onnx.ModelProto, inputs: Tensors) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the dropout ratios are no longer read
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]


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


def make_export(case: Case, kind: Kind, out: Path) -> dict[str, object]:
    """Exports the model one way, checks it, writes it to `out`; returns its entry of the index."""
    exporter, opset, fold = kind
    name, mode = case.name, case.mode
    model = case.build(name).train(mode == "train")
    traced, _ = make_batch(model, seed=2, rows=3, sequence=5)
    text = "input_ids" in traced
    dynamic = {0: "batch", 1: "sequence"} if text else {0: "batch"}
    axes = getattr(model, "axes", {input_name: dynamic for input_name in traced})
    exported = export(
        model,
        traced,
        exporter=exporter,
        opset=opset,
        mode=mode,
        axes=axes,
        longest={"sequence": case.longest} if text else {},
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
    found = f"{len(dropouts)} Dropout nodes in training mode; the model runs {len(case.masks)} dropouts"
    require(len(dropouts) == len(case.masks), f"{name} {kind}: {found}")
    inputs = {n.removeprefix("input/"): value for n, value in case.tensors.items() if n.startswith("input/")}
    logits = case.tensors["logits"].detach().numpy()
    runnable = with_masks(exported, case.masks, case.ratios)
    restored = start_norms(runnable) if mode == "train" else 0
    actual = run_onnx(runnable, inputs)
    difference = np.abs(actual - logits).max() / np.abs(logits).max()
    require(difference < 1e-5, f"{name} {mode} {kind}: logits differ by {difference:.1e}")
    file = f"{name}-{mode}-{exporter}{opset}{'-folded' if fold else ''}.onnx"
    onnx.save(exported, out / file)
    return {
        "file": file,
        "model": name,
        "mode": mode,
        "exporter": exporter,
        "opset": opset,
        "folded": folded if fold else None,
        "reference": case.reference,
        **({"restored": restored} if restored else {}),
        "dropouts": [
            {"node": node.name, "output": node.output[0], "mask": f"mask/{k}", "ratio": case.ratios[k]}
            for k, node in enumerate(dropouts)
        ],
    }
