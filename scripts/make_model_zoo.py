#!/usr/bin/env python3
"""Export tiny classifiers of ten model families in every way that users do, with PyTorch's derivatives in float64.

    python scripts/make_model_zoo.py --out zoo
    python scripts/make_model_zoo.py --out zoo --family gpt2 llama

Writes the exports, a reference file per family and mode, and index.json, in the format of test/fixtures/README.md
(`exports`). `failures` in index.json lists, with their errors, the exports that could not be made. scripts/models_table.ts
reads the folder.
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


def first_sentence(error: Exception) -> str:
    """The reason that an exporter gives, without its advice and its colours."""
    text = str(error.__cause__ or error)
    return textwrap.shorten(text.split("\n\n")[0], 300, placeholder=" …")


def make_family(family: str, out: Path, kinds: list[Kind] | None = None) -> tuple[list[dict], list[dict]]:
    """Every export of one family in both modes: the entries of those made, and of those not."""
    made, failed = [], []
    for mode in ("eval", "train"):
        case = make_case(family, mode, make_classifier, 12)
        write(out / case.reference, case.tensors, MADE_BY)
        for kind in kinds or (KINDS + FOLDED if mode == "eval" else KINDS):
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
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    exports, failures = [], []
    for family in options.family:
        made, failed = make_family(family, options.out)
        exports += made
        failures += failed
    index = {"exports": exports, "failures": failures}
    (options.out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf8")
    print(f"{len(exports)} exports in {options.out}; {len(failures)} could not be made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
