"""Writes test/fixtures/optimizers.json: the weights of a two-layer network after 1, 2 and 10 steps of public optimizers.

The optimizers are PyTorch's own, those of pytorch_optimizer (pip install pytorch_optimizer; 4.1.0 made the file), and those of
the repositories that public_optimizers.py lists, each cloned as CLONES/<owner>+<name> (bare or not); their code is run, in
float64. What does as its paper says is under `cases`; what does otherwise, under `differing`.

    python scripts/make_optimizer_fixtures.py CLONES
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import public_optimizers
import torch
from optimizer_fixture_net import TwoLayers, closure_for_gsam, loss_of, matrices_only, plain, signs, two_pass
from pytorch_optimizer import GSAM, SAM, AdaHessian, LookSAM, ScalableShampoo, Shampoo

KEPT = (1, 2, 10)
SCALABLE = {
    "lr": 0.05,
    "betas": (0.0, 0.9),
    "nesterov": False,
    "start_preconditioning_step": 1,
    "preconditioning_compute_steps": 1,
    "block_size": 2,
    "matrix_eps": 0.1,
    "use_svd": True,
}


class ConstantRadius:
    def __init__(self, rho):
        self.rho = rho

    def step(self):
        return self.rho


def gsam():
    def make(net):
        base = torch.optim.SGD(net.parameters(), lr=0.1)
        return GSAM(net.parameters(), base, net, ConstantRadius(0.1), alpha=0.3)

    def step(net, optimizer, t):
        optimizer.step(closure_for_gsam(net, optimizer, t))

    return make, step


def adahessian():
    """Given z ⊙ Hz of a fixed z: the package averages nothing spatially."""

    def make(net):
        return AdaHessian(net.parameters(), lr=0.05, betas=(0.8, 0.9), weight_decay=0.1, hessian_power=0.5, eps=0.01)

    def step(net, optimizer, t):
        params = list(net.parameters())
        optimizer.zero_grad()
        grads = torch.autograd.grad(loss_of(net, t), params, create_graph=True)
        z = signs(params, t)
        products = torch.autograd.grad(grads, params, grad_outputs=z)
        for p, g in zip(params, grads):
            p.grad = g.detach()
        optimizer.step(hessian=[a * b for a, b in zip(z, products)])

    return make, step


CASES = {
    "torch SGD nesterov": plain(
        lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05)
    ),
    "torch SGD dampened": plain(lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.8, dampening=0.3)),
    "torch AdamW": plain(
        lambda net: torch.optim.AdamW(net.parameters(), lr=0.05, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1)
    ),
    "torch AdamW amsgrad": plain(
        lambda net: torch.optim.AdamW(
            net.parameters(), lr=0.05, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1, amsgrad=True
        )
    ),
    "SAM": two_pass(lambda net: SAM(net.parameters(), torch.optim.SGD, rho=0.1, lr=0.1, momentum=0.8)),
    "SAM adaptive": two_pass(lambda net: SAM(net.parameters(), torch.optim.SGD, rho=0.3, adaptive=True, lr=0.1)),
    "GSAM": gsam(),
    "LookSAM": two_pass(lambda net: LookSAM(net.parameters(), torch.optim.SGD, rho=0.1, k=3, alpha=0.4, lr=0.1)),
    "AdaHessian": adahessian(),
    "Shampoo": plain(matrices_only(lambda groups: Shampoo(groups, lr=0.05, matrix_eps=0.1))),
    "ScalableShampoo": plain(matrices_only(lambda groups: ScalableShampoo(groups, shape_interpretation=False, **SCALABLE))),
}
DIFFERING = {
    "Shampoo lazy": plain(
        matrices_only(lambda groups: Shampoo(groups, lr=0.05, matrix_eps=0.1, preconditioning_compute_steps=3))
    ),
    "ScalableShampoo shapes": plain(matrices_only(lambda groups: ScalableShampoo(groups, **SCALABLE))),
}


def trajectory(make, step):
    """The weights after each step that is kept."""
    net = TwoLayers()
    optimizer = make(net)
    kept = {}
    for t in range(max(KEPT)):
        step(net, optimizer, t)
        if t + 1 in KEPT:
            kept[t + 1] = [p.detach().flatten().tolist() for p in net.parameters()]
    return kept


def main():
    parser = argparse.ArgumentParser(description="Writes test/fixtures/optimizers.json")
    parser.add_argument("clones", type=Path, help="folder of clones, <owner>+<name> each")
    clones = parser.parse_args().clones
    cases = CASES | public_optimizers.agreeing(clones)
    differing = DIFFERING | public_optimizers.disagreeing(clones)
    fixtures = {
        "packages": {"torch": torch.__version__, "pytorch_optimizer": version("pytorch_optimizer")},
        "commits": {name.replace("+", "/"): commit for name, (commit, _) in public_optimizers.SOURCES.items()},
        "cases": {name: trajectory(*case) for name, case in cases.items()},
        "differing": {name: trajectory(*case) for name, case in differing.items()},
    }
    path = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "optimizers.json"
    path.write_text(json.dumps(fixtures) + "\n")
    print(f"{len(cases)} optimizers, and {len(differing)} that do otherwise: {path}")


if __name__ == "__main__":
    main()
