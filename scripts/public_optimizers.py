"""The optimizers that live in repositories of their own: their authors' code, run from clones at the commits below.

Nothing of it is copied: each file is read out of its clone and executed. Where it draws random signs, it is given those of
`signs`, so that the probes are known.
"""

import subprocess
import types
from contextlib import contextmanager
from pathlib import Path

import torch
from optimizer_fixture_net import closure_for_gsam, loss_of, signs, two_pass

# owner+name of a clone: the commit, and the file that holds the optimizer.
SOURCES = {
    "davda54+sam": ("3c3afdbd71cff2462ec91c734b3d1170bd0f3707", "sam.py"),
    "SamsungLabs+ASAM": ("f156a680171db16d551c0d85cba2514fa3bff6a2", "asam.py"),
    "juntang-zhuang+GSAM": ("a770275b3324a3ed4bf4a1cddb976b2782ba852b", "gsam/gsam.py"),
    "davda54+ada-hessian": ("5e1bebc21b64ff9c02f8c42e2b0afe9baac364d8", "ada_hessian.py"),
    "amirgholami+adahessian": ("85ebc00ce873c8497a64ca80bbfa5d996109efea", "instruction/adahessian.py"),
    "LOG-postech+Sassha": ("75e2de415bd4750720a4c3171a92d70781e495c9", "optimizers/sassha.py"),
    "moskomule+shampoo.pytorch": ("3b66797863879d53abfef451dc11de26f16a0916", "shampoo.py"),
}


def load(clones: Path, repository: str, **given) -> types.SimpleNamespace:
    """The names that the repository's file defines; `given` stands for modules beside it."""
    commit, path = SOURCES[repository]
    show = ["git", "-C", str(clones / repository), "show", f"{commit}:{path}"]
    text = subprocess.run(show, check=True, capture_output=True, text=True).stdout
    for line in [line for line in text.splitlines() if line.startswith("from .")]:
        text = text.replace(line, "")
    names = dict(given)
    exec(compile(text, f"{repository}/{path}", "exec"), names)
    return types.SimpleNamespace(**names)


@contextmanager
def drawing(params, t):
    """Draws of 0 or 1 give the probe of step t, tensor by tensor."""
    halves = iter([(z + 1) / 2 for z in signs(params, t)])
    originals = torch.randint, torch.randint_like
    torch.randint = torch.randint_like = lambda *_, **__: next(halves)
    try:
        yield
    finally:
        torch.randint, torch.randint_like = originals


def asam(clones):
    code = load(clones, "SamsungLabs+ASAM")

    def make(net):
        return code.ASAM(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.8), net, rho=0.3, eta=0.05)

    def step(net, optimizer, t):
        loss_of(net, t).backward()
        optimizer.ascent_step()
        loss_of(net, t).backward()
        optimizer.descent_step()

    return make, step


def gsam(clones):
    """With a learning rate that falls, and a radius that follows it."""
    nothing = lambda model: None  # noqa: E731
    code = load(clones, "juntang-zhuang+GSAM", enable_running_stats=nothing, disable_running_stats=nothing)

    class Proportional:
        """rho as the learning rate: 0.02 at 0.01, 0.2 at 0.1."""

        optimizer = None

        def step(self):
            lr = self.optimizer.param_groups[0]["lr"]
            return 0.02 + (0.2 - 0.02) * (lr - 0.01) / (0.1 - 0.01)

    def make(net):
        base = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.8)
        radius = Proportional()
        radius.optimizer = base
        return code.GSAM(net.parameters(), base, net, gsam_alpha=0.3, rho_scheduler=radius)

    def step(net, optimizer, t):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 - 0.01 * t
        optimizer.update_rho_t()

        optimizer.step(closure_for_gsam(net, optimizer, t))

    return make, step


def with_graph(make):
    """The loss's gradient with its graph, then a step that differentiates it."""

    def step(net, optimizer, t):
        optimizer.zero_grad()
        params = list(net.parameters())
        for p, g in zip(params, torch.autograd.grad(loss_of(net, t), params, create_graph=True)):
            p.grad = g
        with drawing(params, t):
            optimizer.step()

    return make, step


ADAHESSIAN = dict(lr=0.05, betas=(0.8, 0.9), weight_decay=0.1, hessian_power=0.5, eps=0.01)


def adahessian(clones, **options):
    code = load(clones, "amirgholami+adahessian")
    return with_graph(lambda net: code.Adahessian(net.parameters(), **ADAHESSIAN, **options))


def sassha(clones, lazy=1, as_its_trainer_does=False):
    """SASSHA's parts in the order of its paper, with H at w + ε; or in that of its trainer, which goes back to w before."""
    code = load(clones, "LOG-postech+Sassha")

    class Constant:
        def step(self):
            return 0.5

    def make(net):
        options = dict(lr=0.05, betas=(0.8, 0.9), weight_decay=0.1, eps=0.01, rho=0.1, lazy_hessian=lazy)
        return code.SASSHA(net.parameters(), hessian_power_scheduler=Constant(), **options)

    def step(net, optimizer, t):
        params = list(net.parameters())
        loss_of(net, t).backward()
        optimizer.perturb_weights(zero_grad=True)
        for p, g in zip(params, torch.autograd.grad(loss_of(net, t), params, create_graph=True)):
            p.grad = g
        with drawing(params, t):
            if as_its_trainer_does:
                optimizer.unperturb()
                optimizer.step()
            else:
                optimizer.zero_hessian()
                optimizer.set_hessian()
                optimizer.unperturb()
                optimizer.zero_hessian = optimizer.set_hessian = lambda: None
                optimizer.step()
                del optimizer.zero_hessian, optimizer.set_hessian
        optimizer.zero_grad()

    return make, step


def shampoo(clones):
    code = load(clones, "moskomule+shampoo.pytorch")
    torch.Tensor.cuda = lambda self: self
    make = lambda net: code.Shampoo(net.parameters(), lr=0.05, epsilon=0.1)  # noqa: E731

    def step(net, optimizer, t):
        optimizer.zero_grad()
        loss_of(net, t).backward()
        optimizer.step()

    return make, step


def agreeing(clones):
    """Those that do as their papers say, as far as they are run here."""
    sam = load(clones, "davda54+sam").SAM
    ada = load(clones, "davda54+ada-hessian").AdaHessian
    sgd = torch.optim.SGD
    return {
        "davda54 SAM": two_pass(lambda net: sam(net.parameters(), sgd, rho=0.1, lr=0.1, momentum=0.8, weight_decay=0.05)),
        "davda54 SAM adaptive": two_pass(
            lambda net: sam(net.parameters(), torch.optim.AdamW, rho=0.3, adaptive=True, lr=0.05, weight_decay=0.1)
        ),
        "SamsungLabs ASAM": asam(clones),
        "juntang-zhuang GSAM": gsam(clones),
        "davda54 AdaHessian": with_graph(lambda net: ada(net.parameters(), **ADAHESSIAN)),
        "amirgholami AdaHessian": adahessian(clones, spatial_average_block_size=(-1, 1, -1, -1)),
        "LOG-postech SASSHA": sassha(clones),
    }


def disagreeing(clones):
    """Those that do otherwise."""
    return {
        "LOG-postech SASSHA lazy": sassha(clones, lazy=3),
        "LOG-postech SASSHA trainer": sassha(clones, as_its_trainer_does=True),
        "moskomule Shampoo": shampoo(clones),
    }
