#!/usr/bin/env python3
"""Export ResNet-18, WRN-28-10 and ViT-B/16 at full size, each with a batch of CIFAR-10's images.

    python scripts/full_size_models.py --out full --images ../shared/data/cifar10/train.c10j

Weights are drawn as the architectures' authors draw them, from seed 0; exports are in training mode. Writes NAME.onnx and
NAME.safetensors (`x`, `labels`) for each; scripts/full_size_step.ts reads the folder.
"""

from __future__ import annotations

import argparse
import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import ViTConfig, ViTForImageClassification

from export_hf import export
from zoo_networks import HfImages, Images, Network, ResNet, WideResNet

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).reshape(3, 1, 1)
DEVIATION = torch.tensor([0.2470, 0.2435, 0.2616]).reshape(3, 1, 1)


def vit_b16() -> Network:
    """Dosovitskiy et al. 2021: 224 x 224 images in patches of 16 x 16, 12 layers of width 768; 1,000 classes."""
    config = ViTConfig(num_labels=1000, hidden_dropout_prob=0.1)
    return HfImages(ViTForImageClassification._from_config(config, attn_implementation="eager"), 224)


# Each model, and the images of its batch.
MODELS: dict[str, tuple[Callable[[], Network], int]] = {
    "resnet-18": (lambda: Images(ResNet(64, 2, 10), 32), 32),
    "wrn-28-10": (lambda: Images(WideResNet(28, 10, 16, 10, 0.3), 32), 8),
    "vit-b16": (vit_b16, 4),
}


def read_images(file: Path, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` images at equal distances, [count, 3, 32, 32], standardised, and their labels."""
    data = file.read_bytes()
    total, prefix_length = struct.unpack_from("<II", data, 4)
    prefix = data[12 : 12 + prefix_length]
    table = 12 + prefix_length
    lengths = [struct.unpack_from("<H", data, table + 3 * i + 1)[0] for i in range(total)]
    starts = np.cumsum([table + 3 * total, *lengths])
    images, labels = [], []
    for k in range(count):
        i = k * total // count + k
        jpeg = Image.open(io.BytesIO(prefix + data[starts[i] : starts[i + 1]]))
        pixels = torch.from_numpy(np.asarray(jpeg.convert("RGB")).copy()).permute(2, 0, 1).float() / 255
        images.append((pixels - MEAN) / DEVIATION)
        labels.append(data[table + 3 * i])
    return torch.stack(images), torch.tensor(labels)


def main() -> int:
    parser = argparse.ArgumentParser(description="Export three models at full size, each with a batch.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--images", type=Path, required=True, metavar="FILE", help="CIFAR-10's images, packed")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (build, rows) in MODELS.items():
        torch.manual_seed(0)
        model = build()
        images, labels = read_images(options.images, rows)
        x = torch.nn.functional.interpolate(images, size=(model.size, model.size), mode="bilinear")
        onnx.save(export(model, {"x": x[:2]}, mode="train", axes=model.axes), options.out / f"{name}.onnx")
        save_file({"x": x.contiguous(), "labels": labels}, options.out / f"{name}.safetensors")
        print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
