#!/usr/bin/env python3
"""Write test/fixtures/state_dicts: PyTorch state dicts of tiny classifiers, and what PyTorch computes with them.

    python scripts/state_dict_fixtures.py

Per model, `<model>.safetensors` holds the state dict as `save_pretrained` names it, with other weights than the exports
of the same model in test/fixtures, and `<model>.expected.safetensors` a batch (`input/<name>`) and its `logits`. The
weights of the exports are never needed to get these logits right: whoever reads the state dict into a package must.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from fixture_exports import write
from fixture_models import draw_weights, make_batch, make_model
from zoo_models import make_classifier

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "state_dicts"
SEED = 100


def main() -> int:
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, build in {"bert": make_model, "gpt2": make_classifier}.items():
        model = build(name).eval()
        draw_weights(model, SEED)
        inputs, _ = make_batch(model, seed=SEED)
        with torch.no_grad():
            output = model(**inputs)
        logits = output[0] if isinstance(output, tuple) else output.logits
        write(OUT / f"{name}.safetensors", dict(model.named_parameters()), __file__.rsplit("/", 1)[-1])
        expected = {f"input/{key}": value for key, value in inputs.items()} | {"logits": logits}
        write(OUT / f"{name}.expected.safetensors", expected, __file__.rsplit("/", 1)[-1])
        print(name, sum(p.numel() for p in model.parameters()), logits[0].tolist())
    return 0


if __name__ == "__main__":
    sys.exit(main())
