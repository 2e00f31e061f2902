#!/usr/bin/env python3
"""Make test/fixtures/conventions.json: PyTorch's gradients in float64 at kinks, ties, edges and where functions saturate.

    python scripts/convention_fixtures.py

Each point is an operator of ONNX with its inputs and attributes, what computes the same in PyTorch, and PyTorch's gradient
of the sum of the output, or of ⟨cotangent, output⟩, by every input that is not constant.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from export_hf import require

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "conventions.json"
MADE_BY = "scripts/convention_fixtures.py"

Attributes = dict[str, dict[str, object]]


def constant(data: object, dtype: str = "float64") -> dict[str, object]:
    """An input without a derivative."""
    return {"constant": data, "dtype": dtype}


def flat(value: Tensor) -> list[float]:
    return [float(v) for v in value.reshape(-1)]


def point(
    op: str,
    name: str,
    torch_name: str,
    function: Callable[..., Tensor],
    inputs: list[object],
    attributes: Attributes | None = None,
    *,
    extra: list[dict[str, object]] | None = None,
    cotangent: list[float] | None = None,
    singular: bool = False,
) -> dict[str, object]:
    """`extra`: inputs of the ONNX operator alone, after the others; singular: the second derivative is infinite there."""
    tensors, entries = [], []
    for value in inputs:
        fixed = isinstance(value, dict)
        dtype = value["dtype"] if fixed else "float64"
        tensor = torch.tensor(value["constant"] if fixed else value, dtype=getattr(torch, str(dtype)))
        tensors.append(tensor if fixed else tensor.requires_grad_())
        entries.append({"dtype": dtype, "dims": list(tensor.shape), "data": flat(tensor.detach())})
        if fixed:
            entries[-1]["constant"] = True
    y = function(*tensors)
    c = torch.ones_like(y) if cotangent is None else torch.tensor(cotangent, dtype=y.dtype).reshape(y.shape)
    wanted = [t for t in tensors if t.requires_grad]
    gradients = torch.autograd.grad(y, wanted, c, allow_unused=True)
    for value in extra or []:
        tensor = torch.tensor(value["constant"], dtype=getattr(torch, str(value["dtype"])))
        entries.append({"dtype": value["dtype"], "dims": list(tensor.shape), "data": flat(tensor), "constant": True})
    result: dict[str, object] = {"op": op, "name": name, "torch": torch_name, "inputs": entries}
    if attributes:
        result["attributes"] = attributes
    if cotangent is not None:
        result["cotangent"] = cotangent
    if singular:
        result["singular"] = True
    zeros = (torch.zeros_like(t) for t in wanted)
    result["gradients"] = [flat(z if g is None else g) for g, z in zip(gradients, zeros)]
    return result


def whole(*values: int) -> dict[str, object]:
    return constant(list(values), "int64")


def scattered(reduce: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda x, i, u: x.scatter_reduce(0, i, u, reduce, include_self=True)


SCATTER = [[2.0, 0.0, 3.0], constant([0, 0, 1, 1], "int64"), [2.0, 2.0, 0.0, 5.0]]
ROWS = {"int": {"keepdims": 0}}
LAST = [whole(1)]
IMAGE = [[[[1.0, 2.0, 4.0], [3.0, 5.0, 8.0], [6.0, 7.0, 9.0]]]]

TIED = [[[[1.0, 1.0, 0.0], [1.0, 1.0, 2.0], [0.0, 2.0, 2.0]]]]


def sampled(mode: str, padding: str, align: bool) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, g: F.grid_sample(x, g, mode, padding, align)


def grid(mode: str, padding: str, align: bool) -> Attributes:
    return {"string": {"mode": mode, "padding_mode": padding}, "int": {"align_corners": int(align)}}


def points() -> list[dict[str, object]]:
    third = 1 / 6
    saturating = [-100.0, 0.0, 100.0]
    return [
        point("Relu", "kink", "relu", F.relu, [[-1.0, 0.0, 1.0, -100.0, 100.0]]),
        point("Abs", "kink", "abs", torch.abs, [[-1.0, 0.0, 1.0]]),
        point("Sign", "jump", "sign", torch.sign, [[-1.0, 0.0, 1.0]]),
        point("Round", "jump", "round", torch.round, [[-0.5, 0.5, 0.2]]),
        point("Floor", "jump", "floor", torch.floor, [[-1.0, 0.0, 0.2]]),
        point("Ceil", "jump", "ceil", torch.ceil, [[-1.0, 0.0, 0.2]]),
        point(
            "LeakyRelu",
            "kink",
            "leaky_relu",
            lambda x: F.leaky_relu(x, 0.125),
            [[-1.0, 0.0, 1.0]],
            {"float": {"alpha": 0.125}},
        ),
        point("PRelu", "kink", "prelu", F.prelu, [[-1.0, 0.0, 1.0], [0.25]]),
        point("Elu", "kink", "elu", lambda x: F.elu(x, 0.5), [[-1.0, 0.0, 1.0]], {"float": {"alpha": 0.5}}),
        point("Elu", "saturation", "elu", F.elu, [saturating]),
        point("Selu", "kink and saturation", "selu", F.selu, [saturating]),
        point("Celu", "kink", "celu", lambda x: F.celu(x, 0.5), [[-1.0, 0.0, 1.0]], {"float": {"alpha": 0.5}}),
        point("Celu", "saturation", "celu", F.celu, [saturating]),
        point("ThresholdedRelu", "kink", "threshold", lambda x: F.threshold(x, 0.5, 0), [[0.0, 0.5, 1.0]], {"float": {"alpha": 0.5}}),
        point("Shrink", "hard, kinks", "hardshrink", lambda x: F.hardshrink(x, 0.5), [[-1.0, -0.5, 0.0, 0.5, 1.0]], {"float": {"lambd": 0.5}}),
        point(
            "Shrink",
            "soft, kinks",
            "softshrink",
            lambda x: F.softshrink(x, 0.5),
            [[-1.0, -0.5, 0.0, 0.5, 1.0]],
            {"float": {"lambd": 0.5, "bias": 0.5}},
        ),
        point("HardSigmoid", "kinks", "hardsigmoid", F.hardsigmoid, [[-4.0, -3.0, 0.0, 3.0, 4.0]], {"float": {"alpha": third}}),
        point("HardSwish", "kinks", "hardswish", F.hardswish, [[-4.0, -3.0, 0.0, 3.0, 4.0]]),
        point("HardSwish", "saturation", "hardswish", F.hardswish, [saturating]),
        point("Softplus", "saturation", "softplus", F.softplus, [[-100.0, -20.0, 0.0, 100.0]]),
        point("Sigmoid", "saturation", "sigmoid", torch.sigmoid, [saturating]),
        point("Tanh", "saturation", "tanh", torch.tanh, [saturating]),
        point("Mish", "saturation", "mish", F.mish, [saturating]),
        point("Gelu", "saturation", "gelu", F.gelu, [[-40.0, 0.0, 40.0]]),
        point(
            "Gelu",
            "tanh, saturation",
            "gelu(approximate='tanh')",
            lambda x: F.gelu(x, approximate="tanh"),
            [[-40.0, 0.0, 40.0]],
            {"string": {"approximate": "tanh"}},
        ),
        point("Erf", "saturation", "erf", torch.erf, [[-40.0, 0.0, 40.0]]),
        point("Softsign", "kink and saturation", "softsign", F.softsign, [saturating]),
        point("Clip", "at both bounds", "clamp", lambda x: x.clamp(-1, 1), [[-2.0, -1.0, 0.0, 1.0, 2.0]], extra=[constant(-1.0), constant(1.0)]),
        point("Clip", "at bounds that are tensors", "clamp", torch.clamp, [[-2.0, -1.0, 0.0, 1.0, 2.0], -1.0, 1.0]),
        point("Max", "tie", "maximum", torch.maximum, [[1.0, 2.0], [1.0, 3.0]]),
        point("Min", "tie", "minimum", torch.minimum, [[1.0, 2.0], [1.0, 3.0]]),
        point("Max", "tie of three", "amax of a stack", lambda *x: torch.stack(x).amax(0), [[1.0, 2.0], [1.0, 3.0], [1.0, 3.0]]),
        point("ReduceMax", "ties", "amax", lambda x: x.amax(1), [[[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]]], ROWS, extra=LAST),
        point("ReduceMin", "ties", "amin", lambda x: x.amin(1), [[[1.0, 1.0, 3.0], [2.0, 1.0, 3.0]]], ROWS, extra=LAST),
        point("ReduceProd", "zeros", "prod", lambda x: x.prod(1), [[[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]]], ROWS, extra=LAST),
        point("ReduceL1", "zero", "norm(p=1)", lambda x: x.norm(1, 1), [[[0.0, 0.0], [3.0, -4.0]]], ROWS, extra=LAST),
        point("ReduceL2", "zero", "norm", lambda x: x.norm(2, 1), [[[0.0, 0.0], [3.0, 4.0]]], ROWS, extra=LAST, singular=True),
        point("ReduceLogSumExp", "large", "logsumexp", lambda x: x.logsumexp(1), [[[100.0, 100.0], [-100.0, -100.0]]], ROWS, extra=LAST),
        point("CumProd", "zeros", "cumprod", lambda x: x.cumprod(0), [[2.0, 0.0, 3.0, 0.0, 5.0]], extra=[constant(0, "int64")]),
        point("Softmax", "large", "softmax", lambda x: x.softmax(0), [[1000.0, 0.0, -1000.0]], cotangent=[1.0, 2.0, 3.0]),
        point("LogSoftmax", "large", "log_softmax", lambda x: x.log_softmax(0), [[1000.0, 0.0, -1000.0]]),
        point("Pow", "zero and negative bases", "pow", torch.pow, [[0.0, 0.0, 0.0, -2.0], constant([2.0, 1.0, 0.0, 3.0])], singular=True),
        point("Pow", "zero base, both gradients", "pow", torch.pow, [[0.0, 0.0], [2.0, 0.0]], singular=True),
        point("Sqrt", "zero", "sqrt", torch.sqrt, [[0.0, 4.0]], singular=True),
        point("Mod", "fmod, a multiple", "fmod", torch.fmod, [[4.0, -4.0, 5.0], [2.0, 2.0, -2.0]], {"int": {"fmod": 1}}),
        point("MaxPool", "ties", "max_pool2d", lambda x: F.max_pool2d(x, 2, 1), [TIED], {"ints": {"kernel_shape": [2, 2]}}, cotangent=[1.0, 2.0, 3.0, 4.0]),
        point("GlobalMaxPool", "ties", "adaptive_max_pool2d(1)", lambda x: F.adaptive_max_pool2d(x, 1), [TIED]),
        point("ScatterElements", "max, ties", "scatter_reduce(amax)", scattered("amax"), SCATTER, {"string": {"reduction": "max"}}),
        point("ScatterElements", "min, ties", "scatter_reduce(amin)", scattered("amin"), SCATTER, {"string": {"reduction": "min"}}),
        point("ScatterElements", "mul, zeros", "scatter_reduce(prod)", scattered("prod"), SCATTER, {"string": {"reduction": "mul"}}),
        point(
            "GridSample",
            "linear, at pixels and at the border",
            "grid_sample(padding_mode='border')",
            sampled("bilinear", "border", True),
            [IMAGE, [[[[0.0, 0.0], [1.0, 0.5]], [[-1.0, -1.0], [2.0, 0.25]]]]],
            grid("linear", "border", True),
        ),
        point(
            "GridSample",
            "linear, zeros, at the border",
            "grid_sample(padding_mode='zeros')",
            sampled("bilinear", "zeros", True),
            [IMAGE, [[[[1.0, 1.0], [-1.0, 0.5]]]]],
            grid("linear", "zeros", True),
        ),
        point(
            "GridSample",
            "linear, reflection, at the border",
            "grid_sample(padding_mode='reflection')",
            sampled("bilinear", "reflection", True),
            [IMAGE, [[[[1.0, 1.0], [-1.0, 0.5], [1.5, -1.25]]]]],
            grid("linear", "reflection", True),
        ),
        point(
            "GridSample",
            "nearest, halfway",
            "grid_sample(mode='nearest')",
            sampled("nearest", "border", True),
            [IMAGE, [[[[0.5, 0.0], [-0.5, 0.25]]]]],
            grid("nearest", "border", True),
        ),
    ]


def main() -> int:
    document = {"made_by": MADE_BY, "torch": torch.__version__, "points": points()}
    text = json.dumps(document, indent=1)
    for entry in document["points"]:
        defined = not any(math.isnan(v) for g in entry["gradients"] for v in g)
        require(defined, f"{entry['op']}, {entry['name']}: PyTorch gives no number")
    OUT.write_text(text.replace("Infinity", '"Infinity"') + "\n", encoding="utf8")
    print(f"{len(document['points'])} points, PyTorch {torch.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
