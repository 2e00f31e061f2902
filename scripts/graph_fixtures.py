#!/usr/bin/env python3
"""Writes test/fixtures/graphs: small data sets of graphs in the forms that are read, two models for them, and batches by numpy.

    python scripts/graph_fixtures.py

ogb: 24 random molecules in the Open Graph Benchmark's csv.gz form, whose label is whether atom 1 is frequent. cora.json: 30 nodes in three
communities. gin.onnx, gcn.onnx: what scripts/export_graph.py exports for them. batches.json: batches made here, by numpy alone.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from graph_networks import ATOMS, BONDS

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "test" / "fixtures" / "graphs"
rng = np.random.default_rng(3)


def write(name: str, rows: np.ndarray) -> None:
    path = OUT / "ogb" / f"{name}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(",".join(map(str, np.atleast_1d(row))) + "\n" for row in rows.tolist())
    with open(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write(text.encode())


def molecule(label: int) -> dict[str, np.ndarray]:
    nodes = int(rng.integers(2, 7))
    x = np.stack([rng.integers(0, size, nodes) for size in ATOMS], 1)
    x[:, 0] = np.where(rng.random(nodes) < (0.9 if label else 0.1), 1, 6)
    edges = np.stack([np.arange(nodes - 1), np.arange(1, nodes)], 1)
    return {"x": x, "edges": edges, "bonds": np.stack([rng.integers(0, size, nodes - 1) for size in BONDS], 1)}


def batch_of(molecules: list[dict[str, np.ndarray]], labels: np.ndarray, chosen: list[int]) -> dict[str, object]:
    """As the benchmark's own reader has it: each edge, then its opposite."""
    parts = [molecules[i] for i in chosen]
    sizes = [len(part["x"]) for part in parts]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    edges = [np.repeat(part["edges"], 2, axis=0) + start for part, start in zip(parts, starts)]
    for each in edges:
        each[1::2] = each[1::2, ::-1]
    return {
        "graphs": chosen,
        "x": np.concatenate([part["x"] for part in parts]).ravel().tolist(),
        "edge_index": np.concatenate(edges).T.ravel().tolist(),
        "edge_attr": np.concatenate([np.repeat(part["bonds"], 2, axis=0) for part in parts]).ravel().tolist(),
        "batch": np.repeat(np.arange(len(sizes)), sizes).tolist(),
        "graph_sizes": sizes,
        "labels": labels[chosen].tolist(),
    }


def make_molecules() -> dict[str, object]:
    labels = np.arange(24) % 2
    molecules = [molecule(label) for label in labels]
    write("raw/node-feat", np.concatenate([m["x"] for m in molecules]))
    write("raw/edge", np.concatenate([m["edges"] for m in molecules]))
    write("raw/edge-feat", np.concatenate([m["bonds"] for m in molecules]))
    write("raw/num-node-list", np.array([len(m["x"]) for m in molecules]))
    write("raw/num-edge-list", np.array([len(m["edges"]) for m in molecules]))
    write("raw/graph-label", labels)
    order = rng.permutation(24)
    valid = np.sort(order[14:19])
    for name, part in (("train", order[:14]), ("valid", valid), ("test", order[19:])):
        write(f"split/scaffold/{name}", part)
    return batch_of(molecules, labels, valid.tolist())


def make_citations() -> dict[str, object]:
    nodes, features, classes = 30, 12, 3
    labels = np.arange(nodes) % classes
    chance = np.where(np.arange(features)[None] % classes == labels[:, None], 0.7, 0.1)
    held = rng.random((nodes, features)) < chance
    held[held.sum(1) == 0, 0] = True
    linked = np.triu(rng.random((nodes, nodes)) < np.where(labels[:, None] == labels[None], 0.4, 0.03), 1)
    edges = np.argwhere(linked)
    graph = {
        **{"name": "small", "numNodes": nodes, "numFeatures": features, "numClasses": classes},
        "features": [np.flatnonzero(row).tolist() for row in held],
        "labels": labels.tolist(),
        "edges": edges.tolist(),
        **{"train": list(range(12)), "val": list(range(12, 20)), "test": list(range(20, 30))},
    }
    (OUT / "cora.json").write_text(json.dumps(graph) + "\n")
    both = np.repeat(edges, 2, axis=0)
    both[1::2] = both[1::2, ::-1]
    return {
        "x": (held / held.sum(1, keepdims=True)).ravel().tolist(),
        "edge_index": both.T.ravel().tolist(),
        "labels": np.where((np.arange(nodes) >= 12) & (np.arange(nodes) < 20), labels, -1).tolist(),
    }


def export(*options: str) -> None:
    script = Path(__file__).with_name("export_graph.py")
    subprocess.run([sys.executable, script, *options, "--dropout", "0.1"], check=True)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    batches = {"made_by": "scripts/graph_fixtures.py", "molecules": make_molecules(), "citations": make_citations()}
    (OUT / "batches.json").write_text(json.dumps(batches) + "\n")
    export("--network", "gin", "--width", "8", "--layers", "1", "--out", str(OUT / "gin.onnx"))
    export("--network", "gcn", "--features", "12", "--classes", "3", "--width", "8", "--out", str(OUT / "gcn.onnx"))


if __name__ == "__main__":
    main()
