#!/usr/bin/env python3
"""Export a small Paddle network with paddle2onnx: needs paddlepaddle and paddle2onnx, in an environment of their own.

    python scripts/export_paddle.py --out foreign

Writes paddle-cnn.onnx and paddle-cnn.npz, its weights by the names that `zoo_foreign.py` gives them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import paddle
from paddle import nn


class Net(nn.Layer):
    """A convolution, a batch norm, pooling and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(3, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2D(6)
        self.pool = nn.MaxPool2D(2)
        self.conv2 = nn.Conv2D(6, 8, 3, stride=2, padding=1)
        self.hidden = nn.Linear(8, 10)
        self.head = nn.Linear(10, 3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.pool(nn.functional.relu(self.bn1(self.conv1(x))))
        x = nn.functional.hardswish(self.conv2(x)).mean([2, 3])
        return self.head(paddle.tanh(self.hidden(x)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a small Paddle network with paddle2onnx.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    model = Net()
    draw = np.random.default_rng(0)
    for name, value in model.state_dict().items():
        noise = draw.standard_normal(value.shape).astype("float32")
        if value.ndim > 1:
            fan = value.shape[0] if value.ndim == 2 else np.prod(value.shape[1:])
            drawn = noise * fan**-0.5
        else:
            drawn = 1 + 0.1 * noise if name.endswith(("_variance", "bn1.weight")) else 0.1 * noise
        value.set_value(paddle.to_tensor(drawn.astype("float32")))
    np.savez(out / "paddle-cnn.npz", **{name: value.numpy() for name, value in model.state_dict().items()})
    model.eval()
    spec = [paddle.static.InputSpec([None, 3, 12, 12], "float32", "x")]
    paddle.onnx.export(model, str(out / "paddle-cnn"), input_spec=spec, opset_version=16)
    print(f"{out / 'paddle-cnn.onnx'}: paddle {paddle.__version__}")


if __name__ == "__main__":
    main()
