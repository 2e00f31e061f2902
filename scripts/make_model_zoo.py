#!/usr/bin/env python3
"""Export tiny classifiers of ten model families in every way that users do, with PyTorch's derivatives in float64.

    python scripts/make_model_zoo.py --out zoo
    python scripts/make_model_zoo.py --out zoo --family gpt2 llama
    python scripts/make_model_zoo.py --out test/fixtures/zoo --subset

Writes the exports, a reference file per family and mode, and index.json, in the format of test/fixtures/README.md
(`exports`). `failures` in index.json lists, with their errors, the exports that could not be made. scripts/models_table.ts
reads the folder. The subset that the test suite holds is one or two exports of each architecture that differs from BERT
and RoBERTa; its derivatives are rounded to float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path

import torch

from fixture_exports import Kind, make_case, make_export, write
from zoo_models import FAMILIES, make_classifier

MADE_BY = "scripts/make_model_zoo.py"
TORCHSCRIPT = range(11, 18)
DYNAMO = (18, 20, 21, 23)
KINDS: list[Kind] = [*(("torchscript", n, False) for n in TORCHSCRIPT), *(("dynamo", n, False) for n in DYNAMO)]
FOLDED: list[Kind] = [("torchscript", 17, True), ("dynamo", 18, True)]
# What the test suite holds: family, mode, its exports.
SUBSET: list[tuple[str, str, list[Kind]]] = [
    ("albert", "train", [("torchscript", 17, False)]),
    ("deberta-v3", "train", [("dynamo", 18, False)]),
    ("distilbert", "eval", [("torchscript", 12, False)]),
    ("electra", "eval", [("dynamo", 18, True)]),
    ("gpt2", "train", [("dynamo", 18, False)]),
    ("llama", "eval", [("torchscript", 12, False)]),
    ("modernbert", "eval", [("torchscript", 17, True), ("dynamo", 18, True)]),
    ("mpnet", "train", [("torchscript", 17, False)]),
]
ROUNDED = ("grad/", "hvp/", "logits")


def first_sentence(error: Exception) -> str:
    """The reason that an exporter gives, without its advice and its colours."""
    text = str(error.__cause__ or error)
    return textwrap.shorten(text.split("\n\n")[0], 300, placeholder=" …")


def make_exports(
    family: str, mode: str, kinds: list[Kind], out: Path, rounded: bool
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Exports of one family in one mode, with their reference: the entries of those made, and of those not."""
    case = make_case(family, mode, make_classifier, 12)
    tensors = {n: t.float() if rounded and n.startswith(ROUNDED) else t for n, t in case.tensors.items()}
    write(out / case.reference, tensors, MADE_BY)
    made, failed = [], []
    for kind in kinds:
        exporter, opset, folded = kind
        try:
            made.append(make_export(case, kind, out))
            print(made[-1]["file"], flush=True)
        except Exception as error:  # whatever an exporter throws belongs into the table
            entry = {"model": family, "mode": mode, "exporter": exporter, "opset": opset, "folded": folded}
            failed.append({**entry, "error": f"{type(error).__name__}: {first_sentence(error)}"})
            print(f"{family} {mode} {exporter} {opset}{' folded' * folded}: {failed[-1]['error']}", flush=True)
    return made, failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Export tiny classifiers of ten model families.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="default: all")
    parser.add_argument("--subset", action="store_true", help="only the exports that the test suite holds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    exports, failures = [], []
    everything = [
        (family, mode, KINDS + FOLDED if mode == "eval" else KINDS) for family in FAMILIES for mode in ("eval", "train")
    ]
    for family, mode, kinds in SUBSET if options.subset else everything:
        if family in options.family:
            made, failed = make_exports(family, mode, kinds, options.out, options.subset)
            exports += made
            failures += failed
    index = {"exports": exports, "failures": failures}
    (options.out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf8")
    print(f"{len(exports)} exports in {options.out}; {len(failures)} could not be made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
