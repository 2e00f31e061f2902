"""The tiny models of the PyTorch fixtures, and their loss, gradient and Hessian-vector product in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from transformers import BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification
from transformers.pytorch_utils import Conv1D

from export_hf import require, uses_token_types

Tensors = dict[str, torch.Tensor]
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


class Mlp(torch.nn.Module):
    """Two linear layers, tanh and dropout between them; x: [batch, 6] -> logits: [batch, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(6, 8)
        self.dropout = torch.nn.Dropout(0.2)
        self.output = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.dropout(torch.tanh(self.hidden(x))))


def roberta() -> torch.nn.Module:
    config = RobertaConfig(vocab_size=54, max_position_embeddings=14, type_vocab_size=1, num_labels=2, **SIZES)
    return RobertaForSequenceClassification._from_config(config, attn_implementation="eager")


def bert() -> torch.nn.Module:
    config = BertConfig(vocab_size=50, max_position_embeddings=12, num_labels=3, **SIZES)
    return BertForSequenceClassification._from_config(config, attn_implementation="eager")


BUILDERS: dict[str, Callable[[], torch.nn.Module]] = {"roberta": roberta, "bert": bert, "mlp": Mlp}


def make_model(name: str) -> torch.nn.Module:
    model = BUILDERS[name]()
    draw_weights(model, sum(map(ord, name)))
    if hasattr(model, "config"):
        model.config.return_dict = False
    return model


def draw_weights(model: torch.nn.Module, seed: int) -> None:
    """Float32 weights of the scale that trained ones have: no bias is 0, no norm gain is 1."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                noise = torch.randn(parameter.shape, generator=draw)
                if parameter.dim() == 1:
                    parameter.copy_(1 + 0.1 * noise if name == "weight" else 0.1 * noise)
                elif isinstance(module, torch.nn.Embedding):
                    parameter.copy_(0.5 * noise)
                else:
                    inputs = parameter.shape[0] if isinstance(module, Conv1D) else parameter[0].numel()
                    parameter.copy_(noise / inputs**0.5)
        for module in batch_norms(model).values():
            module.running_mean.copy_(0.1 * torch.randn(module.running_mean.shape, generator=draw))
            module.running_var.copy_(0.8 + 0.4 * torch.rand(module.running_var.shape, generator=draw))


def batch_norms(model: torch.nn.Module) -> dict[str, torch.nn.modules.batchnorm._BatchNorm]:
    return {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)}


def make_batch(
    model: torch.nn.Module, seed: int, rows: int = 4, sequence: int = 7
) -> tuple[Tensors, torch.Tensor]:
    """Inputs and labels; every row but the first ends in padding, masked out."""
    draw = torch.Generator().manual_seed(seed)
    if hasattr(model, "example"):
        return model.example(draw, rows, sequence)
    if isinstance(model, Mlp):
        return {"x": torch.randn(rows, 6, generator=draw)}, torch.randint(0, 3, (rows,), generator=draw)
    config = model.config
    ids = torch.randint(3, config.vocab_size, (rows, sequence), generator=draw)
    length = torch.tensor([sequence, *(torch.randint(2, sequence, (rows - 1,), generator=draw)).tolist()])
    mask = (torch.arange(sequence) < length[:, None]).long()
    inputs = {"input_ids": torch.where(mask == 1, ids, config.pad_token_id), "attention_mask": mask}
    if uses_token_types(model):
        inputs["token_type_ids"] = (torch.arange(sequence) >= length[:, None] // 2).long() * mask
    return inputs, torch.randint(0, config.num_labels, (rows,), generator=draw)


def in_double(model: torch.nn.Module) -> torch.nn.Module:
    """The model in float64, with `padding_idx` off.

    PyTorch withholds the gradient of an embedding's padding row; an ONNX graph does not know of that row. Off, both
    compute the derivative of the same function, and every row compares.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None
    return model.double()


class StayDouble(TorchFunctionMode):
    """Keeps float64 where a model rounds to float32 for safety: RMS norms, softmax of attention, rotary angles.

    Hard sigmoid and hard swish are spelled out: PyTorch has no second derivative of the former.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        if func.__name__ in ("hardsigmoid", "hardswish"):
            gate = (args[0] / 6 + 0.5).clamp(0, 1)
            return gate if func.__name__ == "hardsigmoid" else args[0] * gate
        if args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64:
            if func is torch.Tensor.float:
                return args[0]
            args = tuple(torch.float64 if a is torch.float32 else a for a in args)
            kwargs = {k: torch.float64 if a is torch.float32 else a for k, a in kwargs.items()}
        return func(*args, **kwargs)


@contextlib.contextmanager
def dropout_from(
    masks: list[torch.Tensor] | None, record: list[tuple[torch.Size, float]] | None = None
) -> Iterator[None]:
    """Makes the k-th live dropout of a forward pass keep what `masks[k]` says; `record` collects shapes and ratios."""
    plain = torch.nn.functional.dropout
    calls = 0

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        nonlocal calls
        if not training or p == 0:
            return input
        calls += 1
        if record is not None:
            record.append((input.shape, p))
        return input if masks is None else input * masks[calls - 1].to(input.dtype) / (1 - p)

    torch.nn.functional.dropout = dropout
    try:
        yield
        if masks is not None:
            require(calls == len(masks), f"{calls} dropouts ran; {len(masks)} masks")
    finally:
        torch.nn.functional.dropout = plain


def draw_masks(model: torch.nn.Module, inputs: Tensors, seed: int) -> tuple[list[torch.Tensor], list[float]]:
    """One keep mask (0 or 1) and ratio per dropout of a forward pass in the model's current mode."""
    sites: list[tuple[torch.Size, float]] = []
    with torch.no_grad(), dropout_from(None, sites):
        model(**inputs)
    draw = torch.Generator().manual_seed(seed)
    return [(torch.rand(shape, generator=draw) >= p).to(torch.uint8) for shape, p in sites], [p for _, p in sites]


@dataclass
class Problem:
    """A float64 model with a batch: its mean cross-entropy as a function of the parameters."""

    model: torch.nn.Module
    masks: list[torch.Tensor]

    def logits(self, parameters: Tensors, inputs: Tensors) -> torch.Tensor:
        dtype = next(iter(parameters.values())).dtype
        cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}
        with dropout_from(self.masks), StayDouble():
            result = functional_call(self.model, parameters, kwargs=cast)
        return result if isinstance(result, torch.Tensor) else result[0]

    def loss(self, parameters: Tensors, inputs: Tensors, labels: torch.Tensor) -> torch.Tensor:
        logits = self.logits(parameters, inputs)
        return torch.nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())

    def moved_statistics(self, inputs: Tensors) -> Tensors:
        """The running statistics after one batch, as ONNX moves them: the variance over n, where PyTorch's is over n - 1."""
        found: Tensors = {}

        def hook(name: str):  # type: ignore[no-untyped-def]
            def observe(module: torch.nn.Module, arguments: tuple[torch.Tensor]) -> None:
                x = arguments[0].detach()
                axes = [axis for axis in range(x.dim()) if axis != 1]
                batch = {"running_mean": x.mean(axes), "running_var": x.var(axes, unbiased=False)}
                for kind, value in batch.items():
                    old = getattr(module, kind)
                    found[f"{name}.{kind}"] = (1 - module.momentum) * old + module.momentum * value

            return observe

        hooks = [m.register_forward_pre_hook(hook(n)) for n, m in batch_norms(self.model).items()]
        with torch.no_grad():
            self.logits(parameters_of(self.model), inputs)
        for handle in hooks:
            handle.remove()
        return found

    def gradient(self, parameters: Tensors, inputs: Tensors, labels: torch.Tensor) -> tuple[torch.Tensor, Tensors]:
        """Loss and gradient."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        loss = self.loss(leaves, inputs, labels)
        return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()))))

    def hvp(self, parameters: Tensors, inputs: Tensors, labels: torch.Tensor, z: Tensors) -> Tensors:
        """Hz = ∇(∇L·z), reverse over reverse."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        gradients = torch.autograd.grad(self.loss(leaves, inputs, labels), list(leaves.values()), create_graph=True)
        product = sum((g * z[name].to(g.dtype)).sum() for name, g in zip(leaves, gradients))
        return dict(zip(leaves, torch.autograd.grad(product, list(leaves.values()))))


def parameters_of(model: torch.nn.Module) -> Tensors:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def draw_probe(parameters: Tensors, seed: int) -> Tensors:
    """A Gaussian probe per parameter, rounded to float32 so that both sides start from the same numbers."""
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.randn(value.shape, generator=draw) for name, value in parameters.items()}
