"""References for exports that TensorFlow and Paddle made: the same networks in PyTorch, whose float64 derivatives they must have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import nn
from torch.nn import functional as F

from export_hf import require
from fixture_exports import derivatives, run_onnx, write
from fixture_models import Problem, Tensors, draw_probe, parameters_of


class TensorFlowCnn(nn.Module):
    """The network of export_tensorflow.py; x: [batch, 12, 12, 3]."""

    image = (12, 12, 3)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2)
        self.hidden = nn.Linear(8, 10)
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x.permute(0, 3, 1, 2))), 2)
        x = F.silu(self.conv2(F.pad(x, (0, 1, 0, 1))))  # TensorFlow's "same" padding at stride 2
        return self.head(torch.tanh(self.hidden(x.mean((2, 3)))))

    @staticmethod
    def name(key: str) -> str:
        return key.replace("sequential.", "").replace("kernel", "weight")

    @staticmethod
    def layout(value: np.ndarray) -> np.ndarray:
        return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


class PaddleCnn(nn.Module):
    """The network of export_paddle.py; x: [batch, 3, 12, 12]."""

    image = (3, 12, 12)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.hidden = nn.Linear(8, 10)
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.hardswish(self.conv2(x)).mean((2, 3))
        return self.head(torch.tanh(self.hidden(x)))

    @staticmethod
    def name(key: str) -> str:
        return key.replace("_mean", "running_mean").replace("_variance", "running_var")

    @staticmethod
    def layout(value: np.ndarray) -> np.ndarray:
        return value.T if value.ndim == 2 else value


FOREIGN = {"tensorflow": ("tensorflow-cnn", TensorFlowCnn), "paddle": ("paddle-cnn", PaddleCnn)}


def make_foreign(maker: str, folder: Path, out: Path) -> dict[str, object]:
    """Copies the export of `maker`, writes its reference under the export's own names; returns its entry of the index."""
    title, network = FOREIGN[maker]
    exported = onnx.load(folder / f"{title}.onnx")
    model = network().eval()
    with np.load(folder / f"{title}.npz") as weights:
        state = {model.name(k): torch.from_numpy(model.layout(weights[k]).copy()) for k in weights.files}
    model.load_state_dict(state, strict=False)
    draw = torch.Generator().manual_seed(1)
    inputs = {"x": torch.randn(4, *model.image, generator=draw)}
    labels = torch.randint(0, 3, (4,), generator=draw)
    problem = Problem(model.double(), [])
    tensors = derivatives(problem, inputs, labels, draw_probe(parameters_of(model), seed=4))
    actual = run_onnx(exported, inputs)
    logits = tensors["logits"].detach().numpy()
    difference = np.abs(actual - logits).max() / np.abs(logits).max()
    require(difference < 1e-5, f"{title}: logits differ by {difference:.1e}")
    write(out / f"{title}.safetensors", renamed(tensors, exported, parameters_of(model)), "scripts/make_model_zoo.py")
    opset = next(o.version for o in exported.opset_import if o.domain in ("", "ai.onnx"))
    file = f"{title}-eval-{maker}{opset}.onnx"
    onnx.save(exported, out / file)
    return {
        "file": file,
        "model": title,
        "mode": "eval",
        "exporter": maker,
        "opset": opset,
        "folded": None,
        "reference": f"{title}.safetensors",
        "dropouts": [],
    }


def renamed(tensors: Tensors, exported: onnx.ModelProto, parameters: Tensors) -> Tensors:
    """Probe and derivatives of every parameter under the name, and in the layout, of the tensor that the export holds it in."""
    result = {n: t for n, t in tensors.items() if n.split("/")[0] not in ("z", "grad", "hvp")}
    constants = [node.attribute[0].t for node in exported.graph.node if node.op_type == "Constant"]
    names = [node.output[0] for node in exported.graph.node if node.op_type == "Constant"]
    held = [(t.name, t) for t in exported.graph.initializer] + list(zip(names, constants))
    for name, parameter in parameters.items():
        value = parameter.numpy().astype(np.float32)
        found = False
        for other, tensor in held:
            if tensor.data_type != TensorProto.FLOAT:
                continue
            for turned in (False, True):
                candidate = value.T if turned else value
                array = numpy_helper.to_array(tensor)
                if candidate.ndim == 1 and array.size == array.shape[min(1, array.ndim - 1)]:
                    candidate = candidate.reshape(array.shape) if candidate.size == array.size else candidate
                if found or array.shape != candidate.shape or not np.allclose(array, candidate, rtol=1e-6):
                    continue
                found = True
                for kind in ("z", "grad", "hvp"):
                    own = tensors[f"{kind}/{name}"].detach()
                    result[f"{kind}/{other}"] = (own.T if turned else own).reshape(array.shape)
        require(found, f"parameter {name} is in no tensor of the export")
    return result
