#!/usr/bin/env python3
"""Make test/fixtures/augmentations.json: what torchvision's RandAugment makes of an image, operation by operation, and where its
RandomResizedCrop cuts.

    python scripts/augmentation_fixtures.py
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional
from torchvision.transforms.autoaugment import RandAugment, _apply_op

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "augmentations.json"
OPERATIONS = {
    "shearX": "ShearX",
    "shearY": "ShearY",
    "translateX": "TranslateX",
    "translateY": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autoContrast": "AutoContrast",
    "equalize": "Equalize",
}
HEIGHT, WIDTH = 24, 26
USUAL = ((0.08, 1.0), (3 / 4, 4 / 3))
# Height and width of images, scale, ratio; the last ones seldom or never fit, so that the middle is taken.
CROPS = [
    *[(size, *USUAL) for size in [(375, 500), (500, 333), (32, 32), (1, 1), (3, 2), (224, 1000), (1000, 224)]],
    ((90, 120), (0.5, 0.6), (1.0, 1.0)),
    ((30, 400), (0.9, 1.0), (0.8, 1.25)),
    ((400, 30), (0.9, 1.0), (0.8, 1.25)),
    ((40, 41), (1.0, 1.0), (0.5, 0.6)),
]


class Draws:
    """Numbers from 0 to 1 in place of torch's generator, and a record of them."""

    def __init__(self, seed: int) -> None:
        self.draw, self.taken = np.random.default_rng(seed), []

    def next(self) -> float:
        self.taken.append(float(self.draw.random()))
        return self.taken[-1]

    def uniform(self, low: float, high: float) -> torch.Tensor:
        # float64, where torch has float32: what rounds to a pixel must not hang on that.
        return torch.tensor([float(low) + (float(high) - float(low)) * self.next()], dtype=torch.float64)

    def integer(self, low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor([low + int(self.next() * (high - low))])


def crops() -> list[dict[str, object]]:
    """Boxes of RandomResizedCrop by given draws."""
    made = []
    uniform, integer = torch.Tensor.uniform_, torch.randint
    try:
        for seed, ((height, width), scale, ratio) in enumerate(CROPS * 2):
            draws = Draws(seed)
            torch.Tensor.uniform_ = lambda _, low, high, draws=draws: draws.uniform(low, high)
            torch.randint = draws.integer
            image = Image.new("RGB", (width, height))
            top, left, h, w = RandomResizedCrop.get_params(image, list(scale), list(ratio))
            box = {"left": left, "top": top, "width": w, "height": h}
            made.append({"height": height, "width": width, "scale": scale, "ratio": ratio, "draws": draws.taken, "box": box})
    finally:
        torch.Tensor.uniform_, torch.randint = uniform, integer
    return made


def resized(image: Image.Image) -> list[dict[str, object]]:
    """Pixels of parts of the image, resized to a square."""
    made = []
    for left, top, width, height, size in [(0, 0, 26, 24, 8), (3, 2, 20, 15, 8), (5, 4, 9, 12, 16), (0, 0, 26, 24, 24)]:
        pixels = np.asarray(functional.resized_crop(image, top, left, height, width, [size, size], antialias=True))
        box = {"left": left, "top": top, "width": width, "height": height}
        made.append({"box": box, "size": size, "pixels": base64.b64encode(pixels.tobytes()).decode()})
    return made


def main() -> None:
    draw = np.random.default_rng(0)
    y, x, c = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(3), indexing="ij")
    # Smooth, with noise, and not over the full range: what stretches levels has something to do.
    pixels = (40 + 5 * x + 2 * y * (c + 1) + draw.integers(0, 20, (HEIGHT, WIDTH, 3))).clip(10, 230).astype(np.uint8)
    image = Image.fromarray(pixels)
    spaces = RandAugment()._augmentation_space(31, (HEIGHT, WIDTH))
    cases = []
    for ours, theirs in OPERATIONS.items():
        magnitudes, signed = spaces[theirs]
        for level in [4, 17, 30] if magnitudes.ndim > 0 else [0]:
            for sign in [1, -1] if signed else [1]:
                magnitude = sign * float(magnitudes[level].item()) if magnitudes.ndim > 0 else 0.0
                made = _apply_op(image, theirs, magnitude, InterpolationMode.NEAREST, None)
                cases.append({"operation": ours, "level": level, "sign": sign, "sha256": hashlib.sha256(np.asarray(made).tobytes()).hexdigest()})
    document = {
        "made_by": "scripts/augmentation_fixtures.py",
        "torchvision": torchvision.__version__,
        "height": HEIGHT,
        "width": WIDTH,
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
        "cases": cases,
        "crops": crops(),
        "resized": resized(image),
    }
    OUT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
