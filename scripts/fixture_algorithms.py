"""Trajectories of CurvSAM (the paper's Algorithm 1) and SAM, written from the papers; the bases are PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from fixture_models import Problem, Tensors

Batch = tuple[Tensors, torch.Tensor]


@dataclass
class Step:
    """What a step saw and left: loss at w, loss at w+ε, ‖g‖₂ and ‖ε‖₂, and the new w and curvature h."""

    loss: torch.Tensor
    perturbed_loss: torch.Tensor
    grad_norm: torch.Tensor
    perturbation_norm: torch.Tensor
    w: Tensors
    h: Tensors


def norm(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """‖·‖₂ over all tensors."""
    return torch.sqrt(torch.stack([(t * t).sum() for t in tensors]).sum())


def base_optimizer(kind: str, w: list[torch.Tensor], hyper: dict[str, float]) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(w, lr=hyper["lr"], momentum=hyper["momentum"], nesterov=hyper["momentum"] > 0)
    betas = (hyper["beta1"], hyper["beta2"])
    return torch.optim.AdamW(w, lr=hyper["lr"], betas=betas, eps=hyper["eps"], weight_decay=hyper["weight_decay"])


def run(
    problem: Problem,
    start: Tensors,
    batches: list[Batch],
    probes: list[Tensors],
    ascent: str,
    base: str,
    hyper: dict[str, float],
) -> list[Step]:
    """One step per batch, in the dtype of `start`.

    curvsam, Algorithm 1: if t mod F = 0, h ← β h + (1−β)|z ⊙ ∇(∇L·z)| at w_t; d = max(√h, δ);
    ε = ρ D⁻¹g / ‖D^(−1/2) g‖; the base optimizer takes ∇L(w_t+ε) at w_t.
    sam, Foret et al. 2021: ε = ρ g / ‖g‖₂.
    """
    w = {name: value.clone() for name, value in start.items()}
    h = {name: torch.ones_like(value) for name, value in start.items()}
    optimizer = base_optimizer(base, list(w.values()), hyper)
    steps = []
    for t, (inputs, labels) in enumerate(batches):
        loss, g = problem.gradient(w, inputs, labels)
        if ascent == "curvsam":
            period = int(hyper["frequency"])
            if t % period == 0:
                z = probes[t // period]
                hz = problem.hvp(w, inputs, labels, z)
                beta = hyper["beta"]
                h = {name: beta * h[name] + (1 - beta) * (z[name].to(hz[name].dtype) * hz[name]).abs() for name in h}
            d = {name: torch.clamp(value.sqrt(), min=hyper["delta"]) for name, value in h.items()}
            length = norm(g[name] / d[name].sqrt() for name in g)
            epsilon = {name: hyper["rho"] * (g[name] / d[name]) / length for name in g}
        else:
            epsilon = {name: hyper["rho"] * value / norm(g.values()) for name, value in g.items()}
        perturbed_loss, descent = problem.gradient({n: w[n] + epsilon[n] for n in w}, inputs, labels)
        for name, value in w.items():
            value.grad = descent[name]
        optimizer.step()
        copies = {name: value.detach().clone() for name, value in w.items()}
        steps.append(Step(loss, perturbed_loss, norm(g.values()), norm(epsilon.values()), copies, dict(h)))
    return steps
