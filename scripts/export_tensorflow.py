#!/usr/bin/env python3
"""Export a small Keras convolutional network with tf2onnx: needs tensorflow-cpu and tf2onnx, which PyTorch's environment need not have.

    python scripts/export_tensorflow.py --out foreign

Writes tensorflow-cnn.onnx and tensorflow-cnn.npz, its weights by the names that `zoo_foreign.py` gives them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf2onnx  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a small Keras network with tf2onnx.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((12, 12, 3), name="x"),
            layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="silu", name="conv2"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.1),
            layers.Dense(10, activation="tanh", name="hidden"),
            layers.Dense(3, name="head"),
        ]
    )
    draw = np.random.default_rng(0)
    for weight in model.weights:
        scale = 0.1 if len(weight.shape) == 1 else float(np.prod(weight.shape[:-1])) ** -0.5
        weight.assign(scale * draw.standard_normal(weight.shape).astype("float32"))
    np.savez(out / "tensorflow-cnn.npz", **{f"{w.path.replace('/', '.')}": w.numpy() for w in model.weights})
    signature = [tf.TensorSpec((None, 12, 12, 3), tf.float32, name="x")]
    serve = tf.function(lambda x: {"logits": model(x, training=False)}, input_signature=signature)
    exported, _ = tf2onnx.convert.from_function(serve, input_signature=signature, opset=18)
    (out / "tensorflow-cnn.onnx").write_bytes(exported.SerializeToString())
    print(f"{out / 'tensorflow-cnn.onnx'}: tensorflow {tf.__version__}, tf2onnx {tf2onnx.__version__}")


if __name__ == "__main__":
    main()
