#!/usr/bin/env python3
"""Export a graph network, freshly drawn, as an ONNX model to train with `curvsam graph`.

    python scripts/export_graph.py --network gin --out gin.onnx
    python scripts/export_graph.py --network gin --width 64 --layers 3 --tasks 12 --out gin.onnx
    python scripts/export_graph.py --network gcn --features 1433 --classes 7 --out gcn.onnx

gin: for the Open Graph Benchmark's molecules (ogbg-mol*), encoders of atoms and bonds included. gcn: classes of nodes, for Cora.
Dropout and batch norms are in training mode; every parameter is an initializer under its PyTorch name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from export_hf import exit_code, export_network
from graph_networks import ATOMS, BONDS, MoleculeGin, NodeGcn

Tensors = dict[str, torch.Tensor]
# The first axis of the first input is that of the output.
AXES = {
    "gin": {
        "graph_sizes": {0: "graphs"},
        "x": {0: "nodes"},
        "edge_index": {1: "edges"},
        "edge_attr": {0: "edges"},
        "batch": {0: "nodes"},
    },
    "gcn": {"x": {0: "nodes"}, "edge_index": {1: "edges"}},
}


def molecules(sizes: list[int], seed: int) -> Tensors:
    """A batch of rings of random atoms and bonds."""
    draw = torch.Generator().manual_seed(seed)
    features = lambda rows, counts: torch.stack(  # noqa: E731
        [torch.randint(0, count, (rows,), generator=draw) for count in counts], 1
    )
    nodes = sum(sizes)
    starts = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))])
    edges = torch.cat([torch.stack([torch.arange(n), (torch.arange(n) + 1) % n]) + s for n, s in zip(sizes, starts)], 1)
    return {
        "graph_sizes": torch.tensor(sizes),
        "x": features(nodes, ATOMS),
        "edge_index": edges,
        "edge_attr": features(nodes, BONDS),
        "batch": torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)),
    }


def citations(nodes: int, features: int, seed: int) -> Tensors:
    draw = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, nodes, (2, 3 * nodes), generator=draw)
    return {"x": torch.rand(nodes, features, generator=draw), "edge_index": edges}


def main() -> int:
    parser = argparse.ArgumentParser(description="Export a graph network for training.")
    parser.add_argument("--network", choices=sorted(AXES), required=True)
    parser.add_argument("--width", type=int, help="hidden features (default 300 for gin, 16 for gcn)")
    parser.add_argument("--layers", type=int, default=5, help="gin: layers (default 5)")
    parser.add_argument("--tasks", type=int, default=1, help="gin: outputs for a graph (default 1)")
    parser.add_argument("--features", type=int, default=1433, help="gcn: features of a node (default 1433)")
    parser.add_argument("--classes", type=int, default=7, help="gcn: classes of nodes (default 7)")
    parser.add_argument("--dropout", type=float, default=0.5, help="(default 0.5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.network == "gin":
        model = MoleculeGin(options.width or 300, options.layers, options.tasks, options.dropout)
        traced, *others = molecules([3, 5, 4], 1), molecules([7, 2], 2), molecules([4, 6, 5, 8], 3)
    else:
        model = NodeGcn(options.features, options.width or 16, options.classes, options.dropout)
        traced, *others = (citations(n, options.features, n) for n in (6, 9, 13))
    return exit_code(lambda: export_network(model, traced, others, AXES[options.network], options.out))


if __name__ == "__main__":
    sys.exit(main())
