#!/usr/bin/env python3
"""Make test/fixtures/folded: exports whose batch norms are folded into convolutions, in groups too, and PyTorch's derivatives.

    python scripts/folded_fixtures.py

Writes the exports, one reference and index.json, in the format of test/fixtures/README.md (`exports`). The reference is of
the network with its batch norms fused by PyTorch itself, whose parameters are those that the folded exports hold.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from export_hf import require
from fixture_exports import derivatives, write
from fixture_models import Problem, draw_probe, draw_weights, in_double, parameters_of

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "folded"
MADE_BY = "scripts/folded_fixtures.py"


def block(inputs: int, outputs: int, groups: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())


class Net(nn.Module):
    """A stem, a convolution in two groups, a depthwise one; x: [batch, 3, 8, 8] -> logits: [batch, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4, groups=1)
        self.blocks = nn.Sequential(block(4, 8, groups=2, stride=2), block(8, 8, groups=8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def build() -> nn.Module:
    model = Net()
    draw_weights(model, 17)
    return model.eval()


def export(exporter: str, opset: int) -> onnx.ModelProto:
    example = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    common = {"input_names": ["x"], "output_names": ["logits"], "opset_version": opset}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
            torch.onnx.export(build(), (example,), f"{folder}/m.onnx", **common, dynamo=False, dynamic_axes=axes)
            return onnx.load(f"{folder}/m.onnx")
        shapes = ({0: torch.export.Dim("batch", min=2, max=64)},)
        program = torch.onnx.export(build(), (example,), **common, dynamo=True, dynamic_shapes=shapes, verbose=False)
        return program.model_proto


def main() -> int:
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    draw = torch.Generator().manual_seed(1)
    inputs, labels = {"x": torch.randn(4, 3, 8, 8, generator=draw)}, torch.randint(0, 3, (4,), generator=draw)
    model = in_double(fuse(build()))
    tensors = derivatives(Problem(model, []), inputs, labels, draw_probe(parameters_of(model), seed=4))
    write(OUT / "convolutions.safetensors", tensors, MADE_BY)
    exports = []
    for exporter, opset in [("torchscript", 17), ("dynamo", 18)]:
        exported = export(exporter, opset)
        operators = {node.op_type for node in exported.graph.node}
        require("BatchNormalization" not in operators, f"{exporter}: batch norms are left")
        file = f"convolutions-{exporter}{opset}.onnx"
        onnx.save(exported, OUT / file)
        print(file, flush=True)
        entry = {"file": file, "model": "convolutions", "mode": "eval", "exporter": exporter, "opset": opset}
        exports.append({**entry, "folded": {}, "reference": "convolutions.safetensors", "dropouts": []})
    (OUT / "index.json").write_text(json.dumps({"exports": exports, "failures": []}, indent=1) + "\n", encoding="utf8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
