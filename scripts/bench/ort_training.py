"""ONNX Runtime's own training build in the benchmark (its last one, 1.19.2): AdamW steps on command, as pytorch.py takes them.

    python -m venv ort && ort/bin/pip install onnxruntime-training-cpu==1.19.2 onnx==1.16.2 "numpy<2" cerberus h5py
    ort/bin/python scripts/bench/ort_training.py --model model.onnx --batch batch.json --threads 2

Makes its training artifacts of the same export, with the same loss and the same hyper-parameters.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.training import artifacts
from onnxruntime.training.api import CheckpointState, Module, Optimizer

from memory import peak_bytes, resident_bytes

LR = 1e-4


def make_artifacts(model: Path, folder: str) -> None:
    """The training and optimizer graphs; parameters that the logits do not read are left out."""
    graph = onnx.load(model).graph
    read = {name for node in graph.node for name in node.input}
    floats = [i.name for i in graph.initializer if i.data_type == onnx.TensorProto.FLOAT and i.name in read]
    artifacts.generate_artifacts(
        onnx.load(model),
        requires_grad=floats,
        loss=artifacts.LossType.CrossEntropyLoss,
        optimizer=artifacts.OptimType.AdamW,
        artifact_directory=folder,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="ONNX Runtime's training build in the benchmark")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--batch", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    imported = resident_bytes()
    batch = json.loads(options.batch.read_text(encoding="utf8"))
    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = options.threads
    with tempfile.TemporaryDirectory() as folder:
        make_artifacts(options.model, folder)
        state = CheckpointState.load_checkpoint(f"{folder}/checkpoint")
        module = Module(
            f"{folder}/training_model.onnx", state, f"{folder}/eval_model.onnx", device="cpu", session_options=session
        )
        optimizer = Optimizer(f"{folder}/optimizer_model.onnx", module)
    optimizer.set_learning_rate(LR)
    values = {name: np.array(rows, dtype=np.int64) for name, rows in batch["inputs"].items()}
    values["labels"] = np.array(batch["labels"], dtype=np.int64)
    feeds = [values[name] for name in module.input_names()]
    module.train()

    def say(answer: dict) -> None:
        print(json.dumps(answer), flush=True)

    say({"ready": True, "version": onnxruntime.__version__, "imported": imported})
    for line in sys.stdin:
        if line.strip() != "step":
            break
        start = time.perf_counter()
        loss = module(*feeds)
        optimizer.step()
        module.lazy_reset_grad()
        say({"ms": 1000 * (time.perf_counter() - start), "loss": float(loss)})
    say({"peak": peak_bytes()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
