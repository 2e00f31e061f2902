#!/usr/bin/env python3
"""Export tiny models of many architectures in every way that users do, with PyTorch's derivatives in float64.

    python scripts/make_model_zoo.py --out zoo
    python scripts/make_model_zoo.py --out zoo --family gpt2 llama resnet
    python scripts/make_model_zoo.py --out test/fixtures/zoo --subset
    python scripts/make_model_zoo.py --out zoo --foreign foreign

`foreign` holds what scripts/export_tensorflow.py and scripts/export_paddle.py wrote, in environments of their own.

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
from fixture_models import batch_norms, draw_weights
from zoo_foreign import FOREIGN, make_foreign
from zoo_models import FAMILIES, make_classifier
from zoo_networks import NETWORKS

MADE_BY = "scripts/make_model_zoo.py"
TORCHSCRIPT = range(11, 18)
DYNAMO = (18, 20, 21, 23)
KINDS: list[Kind] = [*(("torchscript", n, False) for n in TORCHSCRIPT), *(("dynamo", n, False) for n in DYNAMO)]
FOLDED: list[Kind] = [("torchscript", 17, True), ("dynamo", 18, True)]
# The exports of networks for images, graphs, sound and sequences.
NETWORK_KINDS: list[Kind] = [("torchscript", 17, False), ("dynamo", 18, False)]
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
    ("resnet", "train", NETWORK_KINDS),
    ("gin", "train", [("dynamo", 18, False)]),
    ("efficientnet", "train", [("torchscript", 17, False)]),
]
EVERY = [*FAMILIES, *NETWORKS]
# Networks whose dropout is a call of a function, not a module.
FUNCTIONAL = ("whisper-encoder", "swin")
ROUNDED = ("grad/", "hvp/", "logits")


def first_sentence(error: Exception) -> str:
    """The reason that an exporter gives, without its advice and its colours."""
    text = str(error.__cause__ or error)
    return textwrap.shorten(text.split("\n\n")[0], 300, placeholder=" …")


def make_model(family: str) -> torch.nn.Module:
    if family in FAMILIES:
        return make_classifier(family)
    torch.manual_seed(0)  # what modules draw for themselves and draw_weights does not touch
    model = NETWORKS[family]()
    draw_weights(model, sum(map(ord, family)))
    return model


def modes_of(family: str) -> list[str]:
    """Training mode is a mode of its own where dropout or batch norm makes it one."""
    if family in FAMILIES:
        return ["eval", "train"]
    model = make_model(family)
    differs = batch_norms(model) or any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
    return ["eval", "train"] if differs or family in FUNCTIONAL else ["eval"]


def kinds_of(family: str, mode: str) -> list[Kind]:
    if family in NETWORKS:
        return NETWORK_KINDS
    return KINDS + FOLDED if mode == "eval" else KINDS


def make_exports(
    family: str, mode: str, kinds: list[Kind], out: Path, rounded: bool
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Exports of one family in one mode, with their reference: the entries of those made, and of those not."""
    case = make_case(family, mode, make_model, 12)
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
    parser = argparse.ArgumentParser(description="Export tiny models of many architectures.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--family", nargs="+", choices=EVERY, default=EVERY, help="default: all")
    parser.add_argument("--foreign", type=Path, metavar="DIR", help="folder of exports that other frameworks made")
    parser.add_argument("--subset", action="store_true", help="only the exports that the test suite holds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    exports, failures = [], []
    everything = (
        (family, mode, kinds_of(family, mode)) for family in options.family for mode in modes_of(family)
    )
    for family, mode, kinds in SUBSET if options.subset else everything:
        if family in options.family:
            made, failed = make_exports(family, mode, kinds, options.out, options.subset)
            exports += made
            failures += failed
    if options.foreign is not None:
        exports += [make_foreign(maker, options.foreign, options.out) for maker in FOREIGN]
    index = {"exports": exports, "failures": failures}
    (options.out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf8")
    print(f"{len(exports)} exports in {options.out}; {len(failures)} could not be made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
