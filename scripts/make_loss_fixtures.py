#!/usr/bin/env python3
"""Make test/fixtures/losses.json: PyTorch's losses and their gradients in float64.

    python scripts/make_loss_fixtures.py

Classes lie in the last dimension of the logits, as in Hugging Face's models; PyTorch gets them in dimension 1.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "losses.json"
WEIGHTS = [0.5, 2.0, 1.25]


def cross_entropy(x: torch.Tensor, y: torch.Tensor, options: dict[str, object]) -> torch.Tensor:
    weight = options.get("classWeights")
    soft = options["kind"] == "soft-cross-entropy"
    return F.cross_entropy(
        x.reshape(-1, x.shape[-1]),
        y.reshape(-1, y.shape[-1]) if soft else y.reshape(-1),
        weight=None if weight is None else torch.tensor(weight, dtype=torch.float64),
        label_smoothing=options.get("labelSmoothing", 0.0),
        ignore_index=options.get("ignoreIndex", -100),
    )


def case(name: str, options: dict[str, object], logits: torch.Tensor, labels: torch.Tensor) -> dict[str, object]:
    x = logits.clone().requires_grad_()
    kind = options["kind"]
    if kind in ("cross-entropy", "soft-cross-entropy"):
        loss = cross_entropy(x, labels, options)
    elif kind == "mse":
        loss = F.mse_loss(x.squeeze(-1) if x.dim() == labels.dim() + 1 else x, labels)
    else:
        loss = F.binary_cross_entropy_with_logits(x, labels)
    (gradient,) = torch.autograd.grad(loss, x)
    return {
        "name": name,
        "options": options,
        "logits": {"dims": list(logits.shape), "data": logits.flatten().tolist()},
        "labels": {"dims": list(labels.shape), "data": labels.flatten().tolist()},
        "loss": loss.item(),
        "gradient": gradient.flatten().tolist(),
    }


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    flat, flat_labels = 2 * draw(5, 3), torch.tensor([0, 2, 1, 2, 2])
    tokens, token_labels = 2 * draw(2, 4, 3), torch.tensor([[0, -100, 1, 2], [-100, 1, 1, -100]])
    ce = "cross-entropy"
    cases = [
        case("plain", {"kind": ce}, flat, flat_labels),
        case("large logits", {"kind": ce}, 300 * flat, flat_labels),
        case("label smoothing", {"kind": ce, "labelSmoothing": 0.1}, flat, flat_labels),
        case("class weights", {"kind": ce, "classWeights": WEIGHTS}, flat, flat_labels),
        case("weights and smoothing", {"kind": ce, "classWeights": WEIGHTS, "labelSmoothing": 0.2}, flat, flat_labels),
        case("tokens, some ignored", {"kind": ce}, tokens, token_labels),
        case(
            "tokens, some ignored, weights and smoothing",
            {"kind": ce, "classWeights": WEIGHTS, "labelSmoothing": 0.2},
            tokens,
            token_labels,
        ),
        case("a class is ignored", {"kind": ce, "ignoreIndex": 2}, flat, flat_labels),
        case("a class is ignored, smoothing", {"kind": ce, "ignoreIndex": 2, "labelSmoothing": 0.1}, flat, flat_labels),
        case("mean square", {"kind": "mse"}, flat, draw(5, 3)),
        case("mean square of one output", {"kind": "mse"}, draw(5, 1), draw(5)),
        case("binary", {"kind": "bce-with-logits"}, flat, (draw(5, 3) > 0).double()),
        case("binary, large logits", {"kind": "bce-with-logits"}, 300 * flat, (draw(5, 3) > 0).double()),
    ]
    soft = "soft-cross-entropy"
    likely, token_likely = draw(5, 3).softmax(-1), draw(2, 4, 3).softmax(-1)
    cases += [
        case("probabilities", {"kind": soft}, flat, likely),
        case("probabilities, large logits", {"kind": soft}, 300 * flat, likely),
        case("probabilities of tokens, smoothing", {"kind": soft, "labelSmoothing": 0.1}, tokens, token_likely),
        case(
            "probabilities, weights and smoothing",
            {"kind": soft, "classWeights": WEIGHTS, "labelSmoothing": 0.2},
            flat,
            likely,
        ),
    ]
    OUT.write_text(json.dumps({"made_by": "scripts/make_loss_fixtures.py", "torch": torch.__version__, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
