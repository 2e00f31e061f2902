#!/usr/bin/env python3
"""Export an image classifier, freshly drawn, as an ONNX model to train: images `x` [batch, 3, size, size] to `logits`.

    python scripts/export_vision.py --network resnet --out resnet.onnx
    python scripts/export_vision.py --network wrn --depth 16 --factor 4 --dropout 0.3 --classes 100 --out wrn.onnx
    python scripts/export_vision.py --network vit --width 192 --layers 6 --out vit.onnx
    python scripts/export_vision.py --network vit --size 224 --patch 16 --width 768 --layers 12 --classes 1000 --out vit-b16.onnx

resnet: ResNet-18 with a CIFAR head (--width 64, --layers 2 blocks in each of four stages). wrn: a Wide ResNet (default WRN-28-10).
vit: a Vision Transformer on patches of 4x4 (--patch). Dropout and batch norms are in training mode; every parameter is an initializer under
its PyTorch name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

from export_hf import exit_code, export_network
from residual_networks import ResNet, WideResNet


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. 2021, as Hugging Face has it."""

    def __init__(
        self, width: int, layers: int, size: int, patch: int, classes: int, dropout: float, attention: str = "eager"
    ) -> None:
        super().__init__()
        config = ViTConfig(
            image_size=size,
            patch_size=patch,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // 64),
            intermediate_size=4 * width,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            num_labels=classes,
        )
        self.vit = ViTForImageClassification._from_config(config, attn_implementation=attention)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.vit(pixel_values=x).logits


def build(options: argparse.Namespace, attention: str = "eager") -> nn.Module:
    """The network that the options name; `attention` is what a Vision Transformer computes its attention by."""
    if options.network == "resnet":
        return ResNet(options.width or 64, options.layers or 2, options.classes)
    if options.network == "wrn":
        return WideResNet(options.depth, options.factor, options.width or 16, options.classes, options.dropout)
    width, layers = options.width or 192, options.layers or 6
    return VisionTransformer(
        width, layers, options.size, options.patch, options.classes, options.dropout, attention
    )


def parser_of_networks() -> argparse.ArgumentParser:
    """What all say that build a network."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--network", choices=["resnet", "wrn", "vit"], required=True)
    parser.add_argument("--classes", type=int, default=10, help="(default 10)")
    parser.add_argument("--size", type=int, default=32, help="height and width of the images (default 32)")
    parser.add_argument("--patch", type=int, default=4, help="vit: height and width of its patches (default 4)")
    parser.add_argument("--width", type=int, help="features of the first stage (default: the network's own)")
    parser.add_argument("--layers", type=int, help="resnet: blocks in a stage; vit: layers")
    parser.add_argument("--depth", type=int, default=28, help="wrn: layers, 6n + 4 (default 28)")
    parser.add_argument("--factor", type=int, default=10, help="wrn: how much wider it is (default 10)")
    parser.add_argument("--dropout", type=float, default=0.0, help="wrn, vit: (default 0)")
    return parser


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Export an image classifier for training.", parents=[parser_of_networks()]
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    draw = torch.Generator().manual_seed(1)
    traced, *others = ({"x": torch.randn(n, 3, options.size, options.size, generator=draw)} for n in (2, 1, 3))
    return exit_code(lambda: export_network(build(options), traced, others, {"x": {0: "batch"}}, options.out))


if __name__ == "__main__":
    sys.exit(main())
