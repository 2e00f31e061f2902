#!/usr/bin/env python3
"""Check that PyTorch takes a state dict that `curvsam export` wrote, and computes with it what the exported model does.

    curvsam export out -o model.safetensors && curvsam export out -o model.onnx
    python scripts/check_state_dict.py --config models/roberta-mini/config.json model.safetensors model.onnx

Loads the state dict into the Hugging Face classifier of the configuration, every name and shape required (strict), runs
both on random batches, and fails where logits differ by more than 1e-4 of their scale.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification

from fixture_models import make_batch

TOLERANCE = 1e-4


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare a written state dict with an exported model.")
    parser.add_argument("--config", type=Path, required=True, help="config.json of the Hugging Face model")
    parser.add_argument("state", type=Path, help="the state dict, safetensors")
    parser.add_argument("model", type=Path, help="the exported model, ONNX")
    options = parser.parse_args()
    config = AutoConfig.from_pretrained(options.config)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    state = load_file(options.state)
    model.load_state_dict(state, strict=True)
    session = onnxruntime.InferenceSession(options.model)
    wanted = {i.name for i in session.get_inputs()}
    worst = 0.0
    for seed in range(3):
        inputs, _ = make_batch(model, seed, rows=4, sequence=24)
        with torch.no_grad():
            theirs = model(**inputs).logits.numpy()
        ours = session.run(["logits"], {n: v.numpy() for n, v in inputs.items() if n in wanted})[0]
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
    print(f"{options.state}: {len(state)} tensors taken strictly; logits differ by {worst:.2e} of their largest")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
