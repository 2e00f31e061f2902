"""PyTorch's side of the benchmark: takes training steps on command, one line in, one line of JSON out.

    python scripts/bench/pytorch.py --config config.json --batch batch.json --optimizer sam --mode eager --threads 2

Prints what it is once it is ready; then, for each line `step` on stdin, takes one step and prints its milliseconds and
loss; at `end` prints the peak memory of the process. Written as one would for speed: fused AdamW, gradients and
perturbations through the foreach operators, the attention that PyTorch chooses.

An exact Hessian-vector product needs a graph of the gradient, which PyTorch's fused attention and its compiled graphs do
not have: for CurvSAM attention is `eager`; under `compile` its product is the compiled forward-over-reverse one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.func import functional_call, grad_and_value, jvp
from transformers import AutoConfig, AutoModelForSequenceClassification

from memory import peak_bytes, resident_bytes

LR, RHO, BETA, DELTA = 1e-4, 0.05, 0.9, 0.01


def norm_of(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


def logits_of(outputs) -> torch.Tensor:
    return outputs if isinstance(outputs, torch.Tensor) else outputs.logits


def network_of(fields: dict, attention: str) -> torch.nn.Module:
    """The network of a case: flags of scripts/export_vision.py under `flags`, else a configuration of an encoder."""
    if "flags" not in fields:
        config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        return AutoModelForSequenceClassification.from_config(
            config, attn_implementation=attention, dtype=torch.float32
        )
    # Not on machines that measure encoders alone.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from export_vision import build, parser_of_networks

    return build(parser_of_networks().parse_args(fields["flags"]), attention)


class Contender:
    def __init__(self, options: argparse.Namespace) -> None:
        fields = json.loads(options.config.read_text(encoding="utf8"))
        attention = "eager" if options.optimizer == "curvsam" else "sdpa"
        torch.manual_seed(options.seed)
        self.model = network_of(fields, attention).train().to(options.device)
        batch = json.loads(options.batch.read_text(encoding="utf8"))
        self.inputs = {name: torch.tensor(rows, device=options.device) for name, rows in batch["inputs"].items()}
        self.labels = torch.tensor(batch["labels"], device=options.device)
        names = [name for name, p in self.model.named_parameters()]
        # A pooler that the classification head does not read has no gradient.
        self.loss().backward()
        self.names = [n for n in names if self.model.get_parameter(n).grad is not None]
        self.parameters = [self.model.get_parameter(n) for n in self.names]
        self.model.zero_grad(set_to_none=True)
        self.base = torch.optim.AdamW(self.parameters, lr=LR, fused=True)
        self.curvature = [torch.ones_like(p) for p in self.parameters] if options.optimizer == "curvsam" else []
        self.compiled = options.mode == "compile"
        self.forward = torch.compile(self.model) if self.compiled else self.model
        if self.compiled:
            self.products = torch.compile(self.forward_over_reverse)
        self.step = {"none": self.plain_step, "sam": self.sam_step, "curvsam": self.curvsam_step}[options.optimizer]

    def loss(self, forward=None) -> torch.Tensor:
        call = self.model if forward is None else forward
        return F.cross_entropy(logits_of(call(**self.inputs)), self.labels)

    def gradient(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        loss = self.loss(self.forward)
        loss.backward()
        gradient = [p.grad for p in self.parameters]
        return loss, gradient

    def descend(self) -> None:
        self.base.step()
        self.base.zero_grad(set_to_none=True)

    def plain_step(self) -> float:
        loss, _ = self.gradient()
        self.descend()
        return loss.item()

    def sam_step(self) -> float:
        loss, gradient = self.gradient()
        with torch.no_grad():
            scale = RHO / norm_of(gradient)
            perturbation = torch._foreach_mul(gradient, scale)
            torch._foreach_add_(self.parameters, perturbation)
        self.base.zero_grad(set_to_none=True)
        self.gradient()
        with torch.no_grad():
            torch._foreach_sub_(self.parameters, perturbation)
        self.descend()
        return loss.item()

    def forward_over_reverse(self, values: dict, probe: dict):
        def loss(v: dict) -> torch.Tensor:
            outputs = functional_call(self.model, v, kwargs=self.inputs)
            return F.cross_entropy(logits_of(outputs), self.labels)

        (gradient, value), (product, _) = jvp(grad_and_value(loss), (values,), (probe,))
        return value, gradient, product

    def curvsam_step(self) -> float:
        probe = [torch.randn_like(p) for p in self.parameters]
        if self.compiled:
            values = dict(zip(self.names, (p.detach() for p in self.parameters)))
            loss, by_name, products = self.products(values, dict(zip(self.names, probe)))
            gradient = [by_name[n] for n in self.names]
            product = [products[n] for n in self.names]
        else:
            loss = self.loss()
            gradient = torch.autograd.grad(loss, self.parameters, create_graph=True)
            product = torch.autograd.grad(gradient, self.parameters, grad_outputs=probe)
            gradient = [g.detach() for g in gradient]
        with torch.no_grad():
            estimate = torch._foreach_mul(list(product), probe)
            torch._foreach_abs_(estimate)
            torch._foreach_lerp_(self.curvature, estimate, 1 - BETA)
            del estimate, product, probe
            scale = torch._foreach_sqrt(self.curvature)
            torch._foreach_clamp_min_(scale, DELTA)
            direction = torch._foreach_div(gradient, scale)
            norm = sum((g * d).sum() for g, d in zip(gradient, direction)).sqrt()
            torch._foreach_mul_(direction, RHO / norm)
            torch._foreach_add_(self.parameters, direction)
        value = loss.item()
        del loss, gradient
        self.gradient()
        with torch.no_grad():
            torch._foreach_sub_(self.parameters, direction)
        self.descend()
        return value


def main() -> int:
    parser = argparse.ArgumentParser(description="PyTorch's side of the benchmark")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--batch", type=Path, required=True)
    parser.add_argument("--optimizer", choices=["none", "sam", "curvsam"], required=True)
    parser.add_argument("--mode", choices=["eager", "compile"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    imported = resident_bytes()
    contender = Contender(options)
    print(json.dumps({"ready": True, "version": torch.__version__, "imported": imported}), flush=True)
    for line in sys.stdin:
        if line.strip() != "step":
            break
        start = time.perf_counter()
        loss = contender.step()
        print(json.dumps({"ms": (time.perf_counter() - start) * 1e3, "loss": loss}), flush=True)
    print(json.dumps({"peak": peak_bytes()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
