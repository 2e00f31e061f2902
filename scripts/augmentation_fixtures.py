#!/usr/bin/env python3
"""Make test/fixtures/augmentations.json: what torchvision's RandAugment makes of an image, operation by operation.

    python scripts/augmentation_fixtures.py
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode
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
    }
    OUT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
