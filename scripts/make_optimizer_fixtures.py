"""Writes test/fixtures/optimizers.json: the weights of a two-layer network after 1, 2 and 10 steps of public optimizers.

The optimizers are PyTorch's own and those of pytorch_optimizer (pip install pytorch_optimizer; 4.1.0 made the file); their code
is run, in float64. The network, its weights and its batches are those of test/support/two_layers.ts and
test/optim/public.test.ts.

    python scripts/make_optimizer_fixtures.py
"""

import json
import math
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pytorch_optimizer import GSAM, SAM, AdaHessian, LookSAM

torch.set_default_dtype(torch.float64)
SHAPES = {"first.weight": (3, 4), "first.bias": (4,), "second.weight": (4, 2), "second.bias": (2,)}
KEPT = (1, 2, 10)


class TwoLayers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, shape in SHAPES.items():
            values = [math.sin(1.7 * i + len(name)) for i in range(math.prod(shape))]
            # The graph holds float32 weights.
            tensor = torch.tensor(np.array(values, dtype=np.float32).astype(np.float64)).reshape(shape)
            self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(tensor))

    def forward(self, x):
        hidden = torch.tanh(x @ self.first_weight + self.first_bias)
        return hidden @ self.second_weight + self.second_bias


def batch(t):
    x = torch.tensor([math.sin(1.3 * i + t) for i in range(12)]).reshape(4, 3)
    labels = torch.tensor([math.cos(0.7 * i - t) for i in range(8)]).reshape(4, 2)
    return x, labels


def loss_of(net, t):
    x, labels = batch(t)
    return torch.nn.functional.mse_loss(net(x), labels)


def plain(make):
    def step(net, optimizer, t):
        optimizer.zero_grad()
        loss_of(net, t).backward()
        optimizer.step()

    return make, step


def two_pass(make):
    def step(net, optimizer, t):
        def closure():
            optimizer.zero_grad()
            loss = loss_of(net, t)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure)

    return make, step


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
        def gradient():
            optimizer.base_optimizer.zero_grad()
            with torch.enable_grad():
                loss = loss_of(net, t)
            loss.backward()
            return None, loss.detach()

        optimizer.step(gradient)

    return make, step


def adahessian():
    """Given z ⊙ Hz of a fixed z: the package averages nothing spatially."""

    def make(net):
        return AdaHessian(net.parameters(), lr=0.05, betas=(0.8, 0.9), weight_decay=0.1, hessian_power=0.5, eps=0.01)

    def step(net, optimizer, t):
        params = list(net.parameters())
        optimizer.zero_grad()
        grads = torch.autograd.grad(loss_of(net, t), params, create_graph=True)
        z = [
            torch.tensor([1.0 if math.cos(7 * j + 2 * i + 3 * t) > 0 else -1.0 for j in range(p.numel())]).reshape(p.shape)
            for i, p in enumerate(params)
        ]
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
}


def main():
    fixtures = {"packages": {"torch": torch.__version__, "pytorch_optimizer": version("pytorch_optimizer")}, "cases": {}}
    for name, (make, step) in CASES.items():
        net = TwoLayers()
        optimizer = make(net)
        kept = {}
        for t in range(max(KEPT)):
            step(net, optimizer, t)
            if t + 1 in KEPT:
                kept[t + 1] = [p.detach().flatten().tolist() for p in net.parameters()]
        fixtures["cases"][name] = kept
    path = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "optimizers.json"
    path.write_text(json.dumps(fixtures) + "\n")
    print(f"{len(CASES)} optimizers: {path}")


if __name__ == "__main__":
    main()
