#!/usr/bin/env python3
"""Make ONNX Runtime training artifacts of small models: test/fixtures/ort-artifacts.

    python -m venv ort && ort/bin/pip install torch transformers onnx onnxruntime-training-cpu==1.19.2
    ort/bin/python scripts/ort_artifacts.py test/fixtures/ort-artifacts

Each folder holds training_model.onnx, eval_model.onnx and checkpoint, as `onnxruntime.training.artifacts` writes them:
BERT, ResNet and ViT in small configurations, and small nets that reach the other gradient operators and losses.
onnxruntime-training-cpu takes the place of onnxruntime, so give it an environment of its own.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import torch
from onnxruntime.training import artifacts
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)


class Logits(nn.Module):
    """A Hugging Face classifier that returns its logits alone."""

    def __init__(self, model: nn.Module, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, inputs))).logits


@dataclass
class Case:
    """A model, what it is traced with, and the loss of its artifacts."""

    model: Callable[[], nn.Module]
    inputs: dict[str, torch.Tensor]
    loss: artifacts.LossType
    axes: dict[str, dict[int, str]] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    opset: int = 15
    outputs: list[str] | None = None


def bert() -> nn.Module:
    config = BertConfig(
        vocab_size=48,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        type_vocab_size=2,
        num_labels=3,
    )
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager")
    return Logits(model, ["input_ids", "attention_mask"])


def resnet() -> nn.Module:
    config = ResNetConfig(embedding_size=6, hidden_sizes=[6, 10], depths=[1, 1], layer_type="basic", num_labels=4)
    return Logits(ResNetForImageClassification(config), ["pixel_values"])


def vit() -> nn.Module:
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=4,
        num_labels=4,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )
    config._attn_implementation = "eager"
    return Logits(ViTForImageClassification(config), ["pixel_values"])


class Gates(nn.Module):
    """Activations, products and slices of a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.rand(8) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        left, right = torch.chunk(h, 2, dim=1)
        h = torch.cat([torch.tanh(left), torch.sigmoid(right)], dim=1) / self.scale
        h = nn.functional.leaky_relu(h[:, 1:7], 0.1)
        h = torch.cat([h, torch.exp(-h[:, :2].abs()) ** 2], dim=1)
        return self.b(h * torch.sqrt(self.scale + h * h))


class Pools(nn.Module):
    """One-dimensional convolutions, every pool, a layer norm, and a prediction for each position."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding=1)
        self.up = nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = nn.functional.avg_pool1d(torch.relu(self.conv(x)), 3, 1, padding=1)
        h = self.up(nn.functional.max_pool1d(h, 2))
        return self.head(self.norm(h.transpose(1, 2)))


def cases() -> dict[str, Case]:
    loss = artifacts.LossType
    batch = {0: "batch"}
    images = {"pixel_values": torch.randn(2, 3, 16, 16)}
    return {
        "bert": Case(
            bert,
            {"input_ids": torch.randint(1, 48, (2, 7)), "attention_mask": torch.ones(2, 7, dtype=torch.int64)},
            loss.CrossEntropyLoss,
            {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")},
            frozen=("embeddings.position_embeddings",),
            outputs=["logits"],
        ),
        "resnet": Case(resnet, images, loss.CrossEntropyLoss, {"pixel_values": batch}, frozen=("running_",)),
        "vit": Case(vit, images, loss.CrossEntropyLoss, {"pixel_values": batch}, opset=14),
        "gates": Case(Gates, {"x": torch.randn(3, 6)}, loss.MSELoss, {"x": batch}, opset=13),
        "pools": Case(Pools, {"x": torch.randn(2, 2, 12)}, loss.BCEWithLogitsLoss, {"x": batch}),
        "l1": Case(lambda: nn.Sequential(nn.Linear(4, 1)), {"x": torch.randn(2, 4)}, loss.L1Loss, {"x": batch}, opset=14),
    }


def export(case: Case) -> onnx.ModelProto:
    torch.manual_seed(7)
    model = case.model().train()
    file = io.BytesIO()
    torch.onnx.export(
        model,
        tuple(case.inputs.values()),
        file,
        input_names=list(case.inputs),
        output_names=["logits"],
        dynamic_axes=case.axes,
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
        opset_version=case.opset,
        dynamo=False,
    )
    return onnx.load_from_string(file.getvalue())


def make(case: Case, folder: Path) -> None:
    model = export(case)
    floats = [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    named = [name for name in floats if name.endswith((".weight", ".bias", "scale", "token", "embeddings")) or "running_" in name]
    frozen = [name for name in named if any(part in name for part in case.frozen)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    artifacts.generate_artifacts(
        model,
        requires_grad=[name for name in named if name not in frozen],
        frozen_params=frozen,
        loss=case.loss,
        artifact_directory=folder,
        additional_output_names=case.outputs,
    )
    counts: dict[str, int] = {}
    for node in onnx.load(folder / "training_model.onnx").graph.node:
        if node.domain or node.op_type.endswith("Grad"):
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    print(folder.name, counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("test/fixtures/ort-artifacts"))
    parser.add_argument("--only", help="make this one")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.manual_seed(7)
    for name, case in cases().items():
        if args.only in (None, name):
            make(case, args.folder / name)


if __name__ == "__main__":
    main()
