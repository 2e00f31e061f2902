"""The network, the batches and the kinds of steps of the optimizer fixtures: those of test/support/two_layers.ts and
test/optim/public.test.ts, in float64."""

import math

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
SHAPES = {"first.weight": (3, 4), "first.bias": (4,), "second.weight": (4, 2), "second.bias": (2,)}


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


def signs(params, t):
    """The probe of step t: a fixed one, so that both sides have the same."""
    return [
        torch.tensor([1.0 if math.cos(7 * j + 2 * i + 3 * t) > 0 else -1.0 for j in range(p.numel())]).reshape(p.shape)
        for i, p in enumerate(params)
    ]


def plain(make):
    """One gradient a step."""

    def step(net, optimizer, t):
        optimizer.zero_grad()
        loss_of(net, t).backward()
        optimizer.step()

    return make, step


def two_pass(make):
    """A gradient, and a closure for the second."""

    def step(net, optimizer, t):
        def closure():
            optimizer.zero_grad()
            loss = loss_of(net, t)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure)

    return make, step


def closure_for_gsam(net, optimizer, t):
    """The closure that GSAM's packages take: it gives what a model would put out, and the loss."""

    def gradient():
        optimizer.base_optimizer.zero_grad()
        with torch.enable_grad():
            loss = loss_of(net, t)
        loss.backward()
        return None, loss.detach()

    return gradient


def matrices_only(make):
    """`make(groups)` for an optimizer that moves the matrices alone."""

    def build(net):
        params = list(net.parameters())
        return make(
            [
                {"params": [p for p in params if p.dim() == 2]},
                {"params": [p for p in params if p.dim() == 1], "lr": 0.0},
            ]
        )

    return build
