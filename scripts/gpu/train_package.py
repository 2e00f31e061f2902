#!/usr/bin/env python3
"""Trains a package of curvsam with onnxruntime (or onnxruntime-gpu) and NumPy alone; weights stay on the device.

    python scripts/gpu/train_package.py PACKAGE --batches batches.json --steps 20 --provider cuda --compare

Takes steps as manifest.json says: graphs on its schedule, `next/…` into the other one of two buffers that every
parameter and state has on the device, which are swapped once the step is taken. `--phases` takes each step phase by
phase instead, one micro-batch a step. `--compare` takes the same steps on the CPU too, and holds losses, gradients and
Hessian-vector products against those there; `--reference` names another package that the CPU takes, for one in mixed
precision that of float32. Hyper-parameters have their defaults of the manifest, but that in mixed precision the scale of
the loss is halved where a step overflows, which is taken anew.
batches.json holds a list of {"inputs": {name: rows}, "labels": [...]}, which are taken in turn. Random inputs are drawn
from the seed, by name and step; `--random` reads them from a safetensors file instead, named `<input>@<step>`.

Prints one JSON object. Exits with 1 where a check fails, with 2 where it was called wrongly.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import onnxruntime as ort

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
DTYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "int64": np.int64,
    "int32": np.int32,
    "uint8": np.uint8,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
}
# safetensors dtype: manifest dtype
STORED = {
    "F32": "float32",
    "F64": "float64",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "U8": "uint8",
    "BOOL": "bool",
}
LARGEST_ERROR = {
    "float32": {"gradient": 1e-3, "hvp": 1e-3, "loss": 1e-2},
    # Some 20 roundings of float16.
    "mixed": {"gradient": 1e-2, "hvp": 1e-2, "loss": 2e-2},
}
# In mixed precision, the scale of the loss that comparisons begin with: small enough for Hessian-vector products too.
SMALL_SCALE = 256


class Failure(Exception):
    """Something that the caller can change; one line."""


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[start:end], DTYPES[STORED[entry["dtype"]]]).reshape(entry["shape"])
    return tensors


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    codes = {dtype: code for code, dtype in STORED.items()}
    header, offset = {}, 0
    for name, tensor in tensors.items():
        end = offset + tensor.nbytes
        header[name] = {"dtype": codes[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes())


def size_of(dim: int | str, sizes: dict[str, int]) -> int:
    """Dynamic dimensions are names, or products of names and numbers."""
    if isinstance(dim, int):
        return dim
    return math.prod(int(factor) if factor.isdigit() else sizes[factor] for factor in dim.split("*"))


def draw(name: str, spec: dict, sizes: dict[str, int], seed: int, step: int) -> np.ndarray:
    shape = [size_of(dim, sizes) for dim in spec["shape"]]
    dtype = DTYPES[spec["dtype"]]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), step])
    match spec["distribution"]:
        case "normal":
            return np.asarray(rng.standard_normal(shape), dtype)
        case "rademacher":
            return np.asarray(rng.integers(0, 2, shape) * 2 - 1, dtype)
        case "uniform":
            return np.asarray(rng.random(shape), dtype)
        case "bernoulli":
            return np.asarray(rng.random(shape) < spec["p"], dtype)
        case "bits":
            count = math.prod(shape) * np.dtype(dtype).itemsize
            return np.frombuffer(rng.bytes(count), dtype).reshape(shape)
    raise Failure(f'random input "{name}": the distribution {spec["distribution"]} is not known')


class Graph:
    """A graph of the package on one device; inputs and outputs are bound to buffers there."""

    def __init__(self, path: Path, provider: str, device_id: int) -> None:
        options = ort.SessionOptions()
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        # Like PyTorch, products keep the digits of float32 unless they are told not to.
        cuda = [(PROVIDERS["cuda"], {"device_id": device_id, "use_tf32": 0})] if provider == "cuda" else []
        self.session = ort.InferenceSession(path, options, providers=[*cuda, PROVIDERS["cpu"]])
        if PROVIDERS[provider] not in self.session.get_providers():
            raise Failure(f"{path}: ONNX Runtime opened it on {self.session.get_providers()[0]} instead of {provider}")
        self.inputs = [value.name for value in self.session.get_inputs()]
        self.outputs = [value.name for value in self.session.get_outputs()]

    def run(
        self,
        feeds: dict[str, ort.OrtValue],
        targets: dict[str, ort.OrtValue],
        wanted: list[str],
        device: tuple[str, int],
    ) -> dict[str, ort.OrtValue]:
        """Writes outputs into `targets`; those in `wanted` are new: scalars on the host, others on the device."""
        binding = self.session.io_binding()
        for name in self.inputs:
            binding.bind_ortvalue_input(name, feeds[name])
        for name, value in targets.items():
            binding.bind_ortvalue_output(name, value)
        for name in wanted:
            if "/" in name:
                binding.bind_output(name, *device)
            else:
                binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding)
        return dict(zip(wanted, binding.get_outputs()[len(targets) :]))


class Trainer:
    def __init__(self, folder: Path, provider: str, device_id: int, seed: int, random_file: Path | None) -> None:
        manifest = folder / "manifest.json"
        try:
            self.manifest = json.loads(manifest.read_text(encoding="utf8"))
        except (OSError, ValueError) as error:
            raise Failure(f"{manifest}: cannot be read: {error}; give a folder that curvsam patch wrote") from error
        if self.manifest.get("format") != "curvsam-training-package" or self.manifest.get("version") != 1:
            raise Failure(f"{manifest}: it is not a training package of version 1")
        mixed = self.manifest.get("precision") == "mixed"
        self.loss_scale: float | None = self.manifest["hyper"]["hyper/loss_scale"]["default"] if mixed else None
        self.folder, self.provider, self.seed = folder, provider, seed
        self.device = (provider, device_id if provider != "cpu" else 0)
        self.given = read_safetensors(random_file) if random_file else None
        self.graphs: dict[str, Graph] = {}
        self.step_count, self.skipped = 0, 0
        weights = read_safetensors(folder / "weights.safetensors")
        self.current = {name: self.put(weights[name]) for name in self.manifest["parameters"]}
        for name, spec in self.manifest["state"].items():
            self.current[name] = self.put(self.initial(spec, weights))
        self.twins: dict[str, ort.OrtValue] = {}

    @staticmethod
    def initial(spec: dict, weights: dict[str, np.ndarray]) -> np.ndarray:
        init = spec["init"]
        if "tensor" in init:
            return weights[init["tensor"]]
        value = np.zeros(spec["shape"], DTYPES[spec["dtype"]])
        if "identity" in init:
            return value + init["identity"] * np.eye(*spec["shape"][-2:], dtype=value.dtype)
        return np.full_like(value, init["fill"])

    def put(self, array: np.ndarray) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), *self.device)

    def twin(self, name: str) -> ort.OrtValue:
        if name not in self.twins:
            current = self.current[name]
            self.twins[name] = ort.OrtValue.ortvalue_from_shape_and_type(
                current.shape(), DTYPES[self.spec(name)["dtype"]], *self.device
            )
        return self.twins[name]

    def spec(self, name: str) -> dict:
        return self.manifest["parameters"].get(name) or self.manifest["state"][name]

    def graph(self, key: str) -> Graph:
        if key not in self.graphs:
            self.graphs[key] = Graph(self.folder / self.manifest["graphs"][key], self.provider, self.device[1])
        return self.graphs[key]

    def prepare(self, batch: dict) -> tuple[dict[str, ort.OrtValue], dict[str, int]]:
        """The batch on the device, and the sizes of its dynamic dimensions."""
        arrays, sizes = {}, {}
        ports = {**self.manifest["inputs"], **self.manifest.get("targets", {})}
        values = {**batch["inputs"], "labels": batch["labels"]}
        for name, port in ports.items():
            if name not in values:
                raise Failure(f'the batch has no "{name}", which the package takes')
            arrays[name] = np.asarray(values[name], DTYPES[port["dtype"]])
            sizes |= {dim: size for dim, size in zip(port["shape"], arrays[name].shape) if isinstance(dim, str)}
        return {name: self.put(array) for name, array in arrays.items()}, sizes

    def feeds(self, graph: Graph, batch, sizes, held) -> dict[str, ort.OrtValue]:
        """The inputs of `graph`; `held` finds parameters, state, and what phases hand on."""
        feeds = {}
        for name in graph.inputs:
            if name in batch:
                feeds[name] = batch[name]
            elif name == "hyper/loss_scale" and self.loss_scale is not None:
                feeds[name] = self.put(np.asarray(self.loss_scale, np.float32))
            elif name in self.manifest["hyper"]:
                feeds[name] = self.put(np.asarray(self.manifest["hyper"][name]["default"], np.float32))
            elif name in self.manifest["random"]:
                if name not in self.drawn:
                    self.drawn[name] = self.put(self.random(name, sizes))
                feeds[name] = self.drawn[name]
            else:
                feeds[name] = held(name)
        return feeds

    def random(self, name: str, sizes: dict[str, int]) -> np.ndarray:
        if self.given is None:
            return draw(name, self.manifest["random"][name], sizes, self.seed, self.step_count)
        key = f"{name}@{self.step_count}"
        if key not in self.given:
            raise Failure(f"--random: the file has no {key}")
        return self.given[key]

    def is_due(self, entry: dict) -> bool:
        return (self.step_count - entry["offset"]) % entry["every"] == 0

    def step(self, batch: dict, phases: bool) -> float:
        """Takes a step; returns its loss. One that is not finite leaves everything as it was."""
        loss = self.attempt(batch, phases)
        while math.isnan(loss) and self.loss_scale is not None and self.loss_scale > 1:
            self.loss_scale /= 2
            loss = self.attempt(batch, phases)
        return loss

    def attempt(self, batch: dict, phases: bool) -> float:
        device_batch, sizes = self.prepare(batch)
        renewed: set[str] = set()
        self.drawn: dict[str, ort.OrtValue] = {}
        for entry in self.manifest.get("refreshes", []):
            if self.step_count >= entry["offset"] and self.is_due(entry):
                self.run(self.graph(entry["graph"]), {}, {}, renewed, {})
        variant = next(entry["graph"] for entry in self.manifest["schedule"] if self.is_due(entry))
        scalars: dict[str, float] = {}
        if phases:
            handed: dict[str, ort.OrtValue] = {}
            for phase in self.manifest["phases"][variant]:
                prefix = "perturbed_" if phase.get("perturbed") else ""
                inputs = (device_batch, sizes) if phase.get("batch") else ({}, sizes)
                given = self.run(self.graph(phase["graph"]), *inputs, renewed, handed, prefix)
                skipped = max(given.get("skipped", 0), scalars.get("skipped", 0))
                scalars |= {**given, "skipped": skipped}
        else:
            scalars = self.run(self.graph(variant), device_batch, sizes, renewed, {})
        finite = all(math.isfinite(scalars.get(name, 0)) for name in ("loss", "perturbed_loss"))
        if scalars.get("skipped", 0) != 0 or not finite:
            self.skipped += 1
            return math.nan
        for name in renewed:
            self.current[name], self.twins[name] = self.twins[name], self.current[name]
        self.step_count += 1
        return scalars["loss"]

    def run(
        self,
        graph: Graph,
        batch: dict[str, ort.OrtValue],
        sizes: dict[str, int],
        renewed: set[str],
        handed: dict[str, ort.OrtValue],
        prefix: str = "",
    ) -> dict[str, float]:
        """Runs one graph of a step. `handed` takes what it hands on; a pass with a prefix renews nothing."""

        def held(name: str) -> ort.OrtValue:
            if prefix and f"perturbed/{name}" in handed:
                return handed[f"perturbed/{name}"]
            if name in self.current:
                return self.twins[name] if name in renewed else self.current[name]
            return handed[name]

        updates = [] if prefix else [name[5:] for name in graph.outputs if name.startswith("next/")]
        others = [name for name in graph.outputs if not name.startswith("next/")]
        targets = {f"next/{name}": self.twin(name) for name in updates}
        results = graph.run(self.feeds(graph, batch, sizes, held), targets, others, self.device)
        renewed.update(updates)
        scalars = {}
        for name, value in results.items():
            own = prefix + name if "/" not in name or name.startswith("grad/") else name
            handed[own] = value
            if "/" not in name and math.prod(value.shape()) == 1:
                scalars[own] = float(value.numpy().reshape(-1)[0])
        return scalars

    def vectors(self, phase: str, kind: str, batch: dict) -> np.ndarray | None:
        """What a phase gives of all parameters at their present values, in one row."""
        if phase not in self.manifest["graphs"]:
            return None
        graph = self.graph(phase)
        device_batch, sizes = self.prepare(batch)
        self.drawn = {}
        names = sorted(name for name in graph.outputs if name.startswith(f"{kind}/"))
        feeds = self.feeds(graph, device_batch, sizes, self.current.__getitem__)
        results = graph.run(feeds, {}, names, self.device)
        return np.concatenate([results[name].numpy().reshape(-1) for name in names])

    def weights(self) -> dict[str, np.ndarray]:
        buffers = [name for name, spec in self.manifest["state"].items() if "tensor" in spec["init"]]
        return {name: self.current[name].numpy() for name in [*self.manifest["parameters"], *buffers]}


def relative(got: np.ndarray | None, expected: np.ndarray | None) -> float | None:
    if got is None or expected is None:
        return None
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def read_batches(path: Path) -> list[dict]:
    try:
        batches = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: cannot be read: {error}") from error
    return batches if isinstance(batches, list) else [batches]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, help="folder that curvsam patch wrote")
    parser.add_argument("--batches", type=Path, required=True, help="JSON file of batches, taken in turn")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=0, help="steps that the median time leaves out")
    parser.add_argument("--provider", choices=sorted(PROVIDERS), default="cuda")
    parser.add_argument("--device-id", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phases", action="store_true", help="take steps phase by phase")
    parser.add_argument("--random", type=Path, help="safetensors file of the random inputs")
    parser.add_argument("--compare", action="store_true", help="hold it against the CPU")
    parser.add_argument("--reference", type=Path, help="--compare: the package that the CPU takes (default: the same)")
    parser.add_argument("--save", type=Path, help="write the trained weights to this safetensors file")
    parsed = parser.parse_args()
    if parsed.steps < 1 or parsed.warm_up < 0:
        parser.error(f"--steps {parsed.steps}, --warm-up {parsed.warm_up}: at least 1 and 0 expected")
    return parsed


def main() -> int:
    o = options()
    available = ort.get_available_providers()
    if PROVIDERS[o.provider] not in available:
        names = ", ".join(name for name, full in PROVIDERS.items() if full in available)
        advice = "install onnxruntime-gpu, or say --provider cpu"
        raise Failure(f"provider {o.provider}: this onnxruntime has {names}; {advice}")
    batches = read_batches(o.batches)
    trainer = Trainer(o.package, o.provider, o.device_id, o.seed, o.random)
    result: dict = {"package": str(o.package), "provider": o.provider, "onnxruntime": ort.__version__}
    reference = Trainer(o.reference or o.package, "cpu", 0, o.seed, o.random) if o.compare else None
    if reference:
        trainer.loss_scale = trainer.loss_scale and SMALL_SCALE
        for phase, kind in (("gradient", "grad"), ("hvp", "hvp")):
            error = relative(trainer.vectors(phase, kind, batches[0]), reference.vectors(phase, kind, batches[0]))
            result[f"{phase}_error"] = error
    times, losses = [], []
    for t in range(o.warm_up + o.steps):
        start = time.perf_counter()
        losses.append(trainer.step(batches[t % len(batches)], o.phases))
        times.append((time.perf_counter() - start) * 1e3)
    result |= {"steps": o.steps, "skipped": trainer.skipped, "ms": statistics.median(times[o.warm_up :]), "losses": losses}
    if reference:
        expected = [reference.step(batches[t % len(batches)], o.phases) for t in range(len(losses))]
        result["loss_error"] = float(np.max(np.abs(np.subtract(losses, expected)) / np.abs(expected)))
    if o.save:
        write_safetensors(o.save, trainer.weights())
    print(json.dumps(result))
    limits = LARGEST_ERROR[trainer.manifest.get("precision", "float32")]
    errors = {kind: result.get(f"{kind}_error") for kind in limits}
    wrong = [kind for kind, error in errors.items() if error is not None and not error <= limits[kind]]
    for kind in wrong:
        limit = f"at most {limits[kind]:.0e} expected"
        print(f"error: {o.package}: {kind} differs from the CPU's by {errors[kind]:.1e}, {limit}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(1)
