#!/usr/bin/env python3
"""Check a training package from outside: its weights with Python's safetensors, its graphs with onnx's checker.

    python scripts/check_package.py out

Every parameter of manifest.json, and every state whose initial value is a tensor, must lie in weights.safetensors with
the dtype and shape that the manifest gives, and nothing else may; every graph must pass onnx.checker, hold no trainable
parameter as an initializer, and give its parameter inputs the manifest's types. Exits 1 with one line per fault.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto
from safetensors import SafetensorError, safe_open

# manifest dtype: safetensors dtype
STORED = {
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
}
# ONNX type code: manifest dtype
NAMES = {getattr(TensorProto, name.upper()): name for name in STORED if name not in ("float32", "float64")}
NAMES.update({TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"})


def expected_tensors(manifest: dict) -> dict[str, tuple[str, list[int]]]:
    """Name to dtype and shape of every tensor that the manifest says lies in weights.safetensors."""
    expected = {name: (entry["dtype"], entry["shape"]) for name, entry in manifest["parameters"].items()}
    for entry in manifest["state"].values():
        if "tensor" in entry["init"]:
            expected.setdefault(entry["init"]["tensor"], (entry["dtype"], entry["shape"]))
    return expected


def check_weights(folder: Path, manifest: dict) -> list[str]:
    """Faults of weights.safetensors; every tensor is read."""
    faults = []
    expected = expected_tensors(manifest)
    with safe_open(folder / "weights.safetensors", framework="numpy") as weights:
        names = set(weights.keys())
        faults += [f"weights.safetensors: {name} is missing" for name in sorted(set(expected) - names)]
        faults += [f"weights.safetensors: {name} is not in the manifest" for name in sorted(names - set(expected))]
        for name in sorted(names & set(expected)):
            dtype, shape = expected[name]
            stored = weights.get_slice(name)
            if stored.get_dtype() != STORED.get(dtype):
                faults.append(f"weights.safetensors: {name} is {stored.get_dtype()}; the manifest says {dtype}")
            if list(stored.get_shape()) != list(shape):
                faults.append(f"weights.safetensors: {name} has shape {stored.get_shape()}; the manifest says {shape}")
            weights.get_tensor(name)
    return faults


def check_graph(folder: Path, file: str, manifest: dict) -> list[str]:
    """Faults of one graph of the package."""
    path = folder / file
    if not path.is_file():
        return [f"{file}: not found; the manifest lists it"]
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(str(path))
    except (DecodeError, onnx.checker.ValidationError) as error:
        return [f"{file}: {' '.join(str(error).split())}"]
    faults = []
    opset = {item.domain: item.version for item in model.opset_import}.get("")
    if opset != manifest["opset"] or model.ir_version != manifest["irVersion"]:
        faults.append(
            f"{file}: opset {opset}, IR {model.ir_version}; "
            f"the manifest says opset {manifest['opset']}, IR {manifest['irVersion']}"
        )
    inputs = {value.name: value.type.tensor_type for value in model.graph.input}
    initializers = {tensor.name for tensor in model.graph.initializer}
    for name, entry in manifest["parameters"].items():
        if name in initializers and entry["trainable"]:
            faults.append(f"{file}: parameter {name} is an initializer; it must be an input")
        if name in inputs:
            code = inputs[name].elem_type
            dtype = NAMES.get(code, TensorProto.DataType.Name(code))
            shape = [dim.dim_param or dim.dim_value for dim in inputs[name].shape.dim]
            stated = (entry["dtype"], list(entry["shape"]))
            if (dtype, shape) != stated:
                faults.append(f"{file}: input {name} is {dtype} {shape}; the manifest says {stated[0]} {stated[1]}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a training package with Python's safetensors and onnx.")
    parser.add_argument("package", type=Path, help="folder that curvsam patch wrote")
    folder = parser.parse_args().package
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf8"))
        faults = check_weights(folder, manifest)
        for file in manifest["graphs"].values():
            faults += check_graph(folder, file, manifest)
    except (OSError, ValueError, SafetensorError) as error:
        print(f"error: {folder}: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"error: {folder}/manifest.json: no field {error}", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        count = len(expected_tensors(manifest))
        print(f"{folder}: {count} tensors and {len(manifest['graphs'])} graphs agree with the manifest")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
