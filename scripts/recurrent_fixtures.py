#!/usr/bin/env python3
"""Make test/fixtures/recurrent: exports with recurrent layers, loops and branches, and PyTorch's derivatives in float64.

    python scripts/recurrent_fixtures.py

Writes the exports, a reference file per model and index.json, in the format of test/fixtures/README.md (`exports`);
gradients, HVPs and logits are rounded to float32. Exports with control flow are made of what each exporter has for it:
a scripted loop over a list, `torch.cond`, and the `scan` of higher order; their references are computed without it.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from export_hf import require
from fixture_exports import derivatives, write
from fixture_models import Problem, Tensors, draw_probe, draw_weights, in_double, parameters_of

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "recurrent"
MADE_BY = "scripts/recurrent_fixtures.py"
VOCABULARY, WIDTH, HIDDEN, CLASSES = 20, 5, 4, 3


class Layers(torch.nn.Module):
    """An embedding, recurrent layers and the mean over time; ids: [batch, sequence] -> logits: [batch, 3]."""

    def __init__(self, kind: Callable[..., torch.nn.Module], **options: object) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.rnn = kind(WIDTH, HIDDEN, batch_first=True, **options)
        self.output = torch.nn.Linear(HIDDEN * (2 if options.get("bidirectional") else 1), CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states, _ = self.rnn(self.embedding(ids))
        return self.output(states.mean(1))


class Listed(torch.nn.Module):
    """A cell in a loop over time, every other step of it with a branch; the states go to a list."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.input = torch.nn.Linear(WIDTH, HIDDEN)
        self.recurrent = torch.nn.Linear(HIDDEN, HIDDEN)
        self.skip = torch.nn.Linear(HIDDEN, HIDDEN)
        self.output = torch.nn.Linear(HIDDEN, CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids).transpose(0, 1)
        h = torch.zeros(x.size(1), 4, dtype=x.dtype)
        states: list[torch.Tensor] = []
        for i in range(x.size(0)):
            h = torch.tanh(self.input(x[i]) + self.recurrent(h))
            if i % 2 == 1:
                h = h + torch.sigmoid(self.skip(h))
            states.append(h)
        return self.output(torch.stack(states, 1).mean(1))


class Branches(torch.nn.Module):
    """One head or both, by the mean of the inputs; x: [batch, 6]."""

    exporting = False

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(6, HIDDEN)
        self.first = torch.nn.Linear(HIDDEN, CLASSES)
        self.second = torch.nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.hidden(x))
        heads = (lambda v: self.first(v), lambda v: torch.tanh(self.second(v)) * self.first(v))
        if self.exporting:
            return torch.cond(x.mean() > 0, *heads, (h,))
        return heads[0 if x.mean() > 0 else 1](h)


class Scanned(torch.nn.Module):
    """A cell that is scanned over time; x: [sequence, batch, 6]."""

    exporting = False

    def __init__(self) -> None:
        super().__init__()
        self.input = torch.nn.Linear(6, HIDDEN)
        self.recurrent = torch.nn.Linear(HIDDEN, HIDDEN)
        self.output = torch.nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def step(h: torch.Tensor, now: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.tanh(self.input(now) + self.recurrent(h))
            return h, h * h

        h = torch.tanh(self.input(x[0]))
        if self.exporting:
            from torch._higher_order_ops.scan import scan

            _, collected = scan(step, h, x)
            return self.output(collected.mean(0))
        states = []
        for now in x:
            h, y = step(h, now)
            states.append(y)
        return self.output(torch.stack(states).mean(0))


MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "lstm": lambda: Layers(torch.nn.LSTM, bidirectional=True),
    "gru": lambda: Layers(torch.nn.GRU, num_layers=2),
    "rnn": lambda: Layers(torch.nn.RNN, nonlinearity="tanh", bias=False),
    "list": Listed,
    "cond": Branches,
    "scan": Scanned,
}
# model, exporter, opset, folded
EXPORTS = [
    ("lstm", "torchscript", 14, False),
    ("lstm", "torchscript", 17, True),
    ("lstm", "dynamo", 18, True),
    ("gru", "torchscript", 17, False),
    ("gru", "torchscript", 17, True),
    ("rnn", "torchscript", 17, True),
    ("list", "torchscript", 13, False),
    ("list", "torchscript", 17, True),
    ("cond", "dynamo", 18, True),
    ("scan", "dynamo", 18, True),
]


def build(name: str) -> torch.nn.Module:
    model = MODELS[name]()
    draw_weights(model, sum(map(ord, name)))
    return model.eval()


def batch(name: str, seed: int, rows: int, steps: int) -> Tensors:
    draw = torch.Generator().manual_seed(seed)
    if name == "cond":
        return {"x": torch.randn(rows, 6, generator=draw) - 0.3}
    if name == "scan":
        return {"x": torch.randn(steps, rows, 6, generator=draw)}
    return {"ids": torch.randint(0, VOCABULARY, (rows, steps), generator=draw)}


def axes(name: str) -> dict[int, str]:
    return {"cond": {0: "batch"}, "scan": {0: "sequence", 1: "batch"}}.get(name, {0: "batch", 1: "sequence"})


def export(name: str, exporter: str, opset: int, fold: bool) -> onnx.ModelProto:
    model = build(name)
    if hasattr(model, "exporting"):
        model.exporting = True
    inputs = batch(name, seed=2, rows=3, steps=5)
    key = next(iter(inputs))
    common = {"input_names": [key], "output_names": ["logits"], "opset_version": opset}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = f"{folder}/model.onnx"
        if exporter == "torchscript":
            traced = torch.jit.script(model) if name == "list" else model
            dynamic = {key: axes(name), "logits": {0: "batch"}}
            torch.onnx.export(
                traced, (inputs[key],), file, **common, dynamo=False, do_constant_folding=fold, dynamic_axes=dynamic
            )
            return onnx.load(file)
        shapes = ({axis: torch.export.Dim(dim, min=2, max=64) for axis, dim in axes(name).items()},)
        program = torch.onnx.export(
            model, (inputs[key],), **common, dynamo=True, optimize=fold, dynamic_shapes=shapes, verbose=False
        )
        return program.model_proto


def main() -> int:
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    exports, logits = [], {}
    for name in MODELS:
        model = in_double(build(name))
        inputs = batch(name, seed=1, rows=4, steps=6)
        labels = torch.randint(0, CLASSES, (4,), generator=torch.Generator().manual_seed(7))
        tensors = derivatives(Problem(model, []), inputs, labels, draw_probe(parameters_of(model), seed=4))
        logits[name] = (inputs, tensors["logits"].detach().numpy())
        rounded = {n: t.float() if n.startswith(("grad/", "hvp/", "logits")) else t for n, t in tensors.items()}
        write(OUT / f"{name}.safetensors", rounded, MADE_BY)
    for name, exporter, opset, fold in EXPORTS:
        exported = export(name, exporter, opset, fold)
        onnx.checker.check_model(exported)
        inputs, expected = logits[name]
        session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
        actual = session.run(["logits"], {key: value.numpy() for key, value in inputs.items()})[0]
        difference = np.abs(actual - expected).max() / np.abs(expected).max()
        require(difference < 1e-5, f"{name} {exporter} {opset}: logits differ by {difference:.1e}")
        file = f"{name}-{exporter}{opset}{'-folded' if fold else ''}.onnx"
        onnx.save(exported, OUT / file)
        print(file, flush=True)
        exports.append(
            {
                "file": file,
                "model": name,
                "mode": "eval",
                "exporter": exporter,
                "opset": opset,
                "folded": {} if fold else None,
                "reference": f"{name}.safetensors",
                "dropouts": [],
            }
        )
    (OUT / "index.json").write_text(json.dumps({"exports": exports, "failures": []}, indent=1) + "\n", encoding="utf8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
