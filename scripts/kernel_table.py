#!/usr/bin/env python3
"""Writes src/lower/kernels.json: which kernels the execution providers of ONNX Runtime have.

    python3 scripts/kernel_table.py ONNXRUNTIME COMMIT

ONNXRUNTIME is a checkout of the runtime's sources at the version that package.json pins, COMMIT its commit. The kernels of
the CPU, CUDA and DirectML providers are those of its docs/OperatorKernels.md. There is no such table of the WebGPU provider:
its registrations are read from the C++ sources, after the C preprocessor (cpp) has expanded their macros, as the provider
registers them with its default options, that is without int64. Which operators are functions, that the runtime writes out
where no provider has a kernel, is what the onnx package says.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import onnx.defs

DOMAINS = {"ai.onnx": "", "com.microsoft": "com.microsoft::"}
PROVIDERS = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda", "DmlExecutionProvider": "dml"}
DTYPES = {"float": "float32", "double": "float64", "MLFloat16": "float16", "BFloat16": "bfloat16"}
FIXED = "bfloat16 bool float16 float32 float64 int16 int32 int64 int8 uint16 uint32 uint64 uint8".split()


def dtype(name):
    return DTYPES.get(name) or re.sub(r"_t$", "", name)


class Table:
    def __init__(self):
        self.signatures = defaultdict(list)
        self.kernels = defaultdict(lambda: defaultdict(dict))

    def add(self, provider, op, since, until, types):
        """Kernels that differ in their types only are one row, as in the runtime's own table."""
        row = self.kernels[provider][op].setdefault((since, until), defaultdict(set))
        for variable, allowed in types.items():
            row[variable] |= set(allowed)


def versions(text):
    """`13+`, `13`, `[6, 12]`."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if text.endswith("+"):
        return numbers[0], None
    return numbers[0], numbers[-1]


def span(arguments):
    """`13`, `6, 12`: versions in the sources."""
    numbers = [int(n) for n in arguments.split(",")]
    return (*numbers, None)[:2]


def read_document(table, text):
    for provider, section in zip(re.findall(r"## Operators implemented by (\w+)", text), text.split("## Operators implemented by ")[1:]):
        prefix, op = None, None
        for line in section.splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if "Operator Domain" in line:
                prefix = DOMAINS.get(re.search(r"Domain:\*\* \*([\w.]+)\*", line)[1])
                continue
            if len(cells) < 6 or not re.match(r"^(\[?\d)", cells[3]):
                continue
            if cells[1]:
                op = None if prefix is None else prefix + cells[1]
                for variant in cells[2].split("<br><br>or<br><br>") if op else []:
                    sides = [
                        [v if v.startswith("*") or "(" not in v else dtype_of(v) for v in re.findall(rf"\*{side}\* \w+:\*\*([^*]+)\*\*", variant)]
                        for side in ("in", "out")
                    ]
                    if sides not in table.signatures[op]:
                        table.signatures[op].append(sides)
            if op is None:
                continue
            types = {
                variable: [dtype_of(t) for t in re.findall(r"tensor\(\w+\)", allowed) if not re.search(r"(seq|optional)\(", allowed)]
                for variable, allowed in re.findall(r"\*\*(\w+)\*\* = ([^*]+?)(?:<br/>|$)", cells[4])
            }
            table.add(PROVIDERS[provider], op, *versions(cells[3]), {v: a for v, a in types.items() if a})


def dtype_of(text):
    return dtype(re.fullmatch(r"tensor\((\w+)\)", text)[1]) if text.startswith("tensor(") else "*"


class WebGpuSources:
    def __init__(self, runtime):
        macros = (runtime / "include/onnxruntime/core/framework/op_kernel.h").read_text()
        prelude = "\n".join(re.findall(r"^#define ONNX_OPERATOR(?:.*\\\n)*.*", macros, re.M))
        folders = [runtime / "onnxruntime/core/providers/webgpu", runtime / "onnxruntime/contrib_ops/webgpu"]
        shared = re.findall(r"using (\w+) =\s*TypeList<([^>]*)>;", (folders[0] / "webgpu_supported_types.h").read_text())
        self.lists = {name: {dtype(t.strip()) for t in names.split(",")} for name, names in shared}
        self.lists |= {f"WebGpu{name}": types for name, types in self.lists.items()}
        self.lists["WebGpuSupportedFloatTypes"] = self.lists["SupportedFloats"]
        self.files = {}
        for path in sorted(p for folder in folders for p in folder.rglob("*.cc")):
            source = prelude + "\n" + re.sub(r"^\s*#\s*include.*$", "", path.read_text(), flags=re.M)
            self.files[str(path.relative_to(runtime))] = subprocess.run(["cpp", "-P", "-w"], input=source, capture_output=True, text=True, check=True).stdout
        self.registrations = "".join(t for p, t in self.files.items() if p.endswith(("webgpu_execution_provider.cc", "webgpu_contrib_kernels.cc")))

    def types(self, expression, text, seen=()):
        """The types that a C++ expression lists, looking up what it names in its file; without int64, the provider's default."""
        if re.search(r"AllFixedSizeTensorTypes|AllTensorTypes\b", expression):
            return set(FIXED)
        found = {dtype(t) for t in re.findall(r"GetTensorType<(\w+)>", expression)}
        for names in re.findall(r"TypeList<([^<>]*)>", expression):
            found |= {dtype(t.strip()) for t in names.split(",")}
        for name in set(re.findall(r"[A-Za-z_]\w+", expression)) - set(seen):
            if name in self.lists:
                found |= self.lists[name]
            elif name == "GetOpTypeConstraints":
                bool_too = re.search(r"GetOpTypeConstraints\([^,)]*,\s*true", expression)
                found |= self.lists["SupportedNumberAndBoolTypes" if bool_too else "SupportedNumberTypes"]
            else:
                function = re.search(rf"&?\s{name}\((?:bool enable_int64)?\) \{{(.*?)\n\}}", text, re.S)
                variable = re.search(rf"\s{name}\s*(?:=|\{{)([^;]*);", text)
                body = function or variable
                if body:
                    inner = re.sub(r"if \(enable_int64\) \{.*?\n  \}", "", body[1], flags=re.S)
                    found |= self.types(inner, text, (*seen, name))
        return found

    def read(self, table):
        domains = {"kOnnxDomain": "", "kMSDomain": "com.microsoft::"}
        registered = set(re.findall(r"kWebGpuExecutionProvider_\w+_(?:kOnnxDomain|kMSDomain)_ver\w+", self.registrations))
        found = {f"kWebGpuExecutionProvider_Memcpy{way}Host_kOnnxDomain_ver1" for way in ("From", "To")}
        class_name = r"BuildKernelCreateInfo<(kWebGpuExecutionProvider_\w+)>\(\)"
        definition = r'KernelDefBuilder\b((?:(?!KernelDefBuilder\b).)*?)\.SetName\("(\w+)"\)(.*?\.Build\(\))'
        for text in self.files.values():
            for match in re.finditer(definition, text, re.S):
                before, name, after = match.groups()
                domain = re.search(r"SetDomain\((\w+)\)", after)
                since = re.search(r"SinceVersion\(([\w, ]+)\)", after)
                if not domain or not since or domain[1] not in domains:
                    continue
                op = domains[domain[1]] + name
                constraints = re.findall(r'TypeConstraint\("(\w+)",\s*(.*?)\)(?=\s*\.|\s*$)', before + after, re.S)
                types = {variable: self.types(expression, text) for variable, expression in constraints}
                types = {variable: allowed for variable, allowed in types.items() if allowed}
                if not re.fullmatch(r"[\d, ]+", since[1]):
                    # A function that the provider calls with the versions.
                    kind = "VersionedKernelInfo" if "," in since[1] else "KernelInfo"
                    for arguments in re.findall(rf"Create{name}{kind}\(([\d, ]+), enable_int64\)", self.registrations):
                        table.add("webgpu", op, *span(arguments), types)
                    continue
                classes = re.findall(class_name, text[: match.start()])
                if classes and classes[-1] in registered:
                    found.add(classes[-1])
                    table.add("webgpu", op, *span(since[1]), types)
            binary = r'RegisterBinaryOp\(kernel_registry, "(\w+)", \w+<\w+>, (\w+), (\{\{.*?\}\})'
            for name, constraints, ranges in re.findall(binary, text):
                for since, until in re.findall(r"\{(\d+), ([\w:]+)\}", ranges):
                    table.add("webgpu", name, *span(f"{since}, {until}" if until.isdigit() else since), {"T": self.types(constraints, text)})
        # Range has one registration a type, written with a template.
        table.add("webgpu", "Range", 11, None, {"T": ["float32", "int32"]})
        missing = registered - found
        if missing:
            sys.exit(f"registered kernels whose definitions were not found: {sorted(missing)}")


def main():
    runtime, commit = Path(sys.argv[1]), sys.argv[2]
    table = Table()
    read_document(table, (runtime / "docs/OperatorKernels.md").read_text())
    WebGpuSources(runtime).read(table)
    sets = sorted({" ".join(sorted(a)) for ops in table.kernels.values() for rows in ops.values() for row in rows.values() for a in row.values()})
    at = {text: i for i, text in enumerate(sets)}
    version = (runtime / "VERSION_NUMBER").read_text().strip()

    functions = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and (s.has_function or s.has_context_dependent_function)})

    def rows(kernels):
        return [[since, until, {v: at[" ".join(sorted(a))] for v, a in sorted(row.items())}] for (since, until), row in sorted(kernels.items(), key=lambda k: k[0][0])]

    def block(entries):
        lines = [f"      {json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(entries.items())]
        return "{\n" + ",\n".join(lines) + "\n    }"

    used = {op for ops in table.kernels.values() for op in ops}
    signatures = block({op: [[" ".join(side) for side in v] for v in variants] for op, variants in table.signatures.items() if op in used})
    providers = ",\n".join(f'    "{p}": {block({op: rows(k) for op, k in ops.items()})}' for p, ops in table.kernels.items())
    Path(__file__).parent.parent.joinpath("src/lower/kernels.json").write_text(
        "{\n"
        f'  "runtime": "{version}",\n'
        f'  "commit": "{commit}",\n'
        f'  "types": [\n    ' + ",\n    ".join(json.dumps(s) for s in sets) + "\n  ],\n"
        f'  "functions": {json.dumps(functions)},\n'
        f'  "signatures": {signatures},\n'
        '  "kernels": {\n' + providers + "\n  }\n}\n"
    )
    print({p: sum(len(k) for k in ops.values()) for p, ops in table.kernels.items()})


main()
