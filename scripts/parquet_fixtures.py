#!/usr/bin/env python3
"""Write test/fixtures/parquet: one small table under every compression and in other dress, and tables that must be refused.

    python scripts/parquet_fixtures.py        (needs: pip install pyarrow)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "parquet"
N = 40
TEXTS = [f"sentence {i}, “quoted” and naïve ✓ {'very ' * (i % 7)}long" for i in range(N)]
LABELS = [(i * i + 1) % 3 for i in range(N)]
SCORES = [i / 8 - 2 for i in range(N)]
FEATURES = {
    "sentence": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["negative", "neutral", "positive"], "_type": "ClassLabel"},
}
HUGGING_FACE = {"huggingface": json.dumps({"info": {"features": FEATURES}})}


# Columns of texts in the hub's nyu-mll/glue, beside label and idx.
GLUE = {
    "cola": ["sentence"],
    "sst2": ["sentence"],
    "mrpc": ["sentence1", "sentence2"],
    "stsb": ["sentence1", "sentence2"],
    "qqp": ["question1", "question2"],
    "mnli": ["premise", "hypothesis"],
    "qnli": ["question", "sentence"],
    "rte": ["sentence1", "sentence2"],
    "wnli": ["sentence1", "sentence2"],
    "ax": ["premise", "hypothesis"],
}


def glue() -> None:
    """Two examples of each task of GLUE; labels 1 and 0, of a test set -1."""
    for task, names in GLUE.items():
        split = {"mnli": "validation_mismatched", "ax": "test"}.get(task, "validation")
        labels = pa.array([1.25, 0.0], pa.float32()) if task == "stsb" else pa.array([-1, -1] if task == "ax" else [1, 0], pa.int64())
        columns = {name: pa.array([f"{name} {i}" for i in range(2)]) for name in names}
        (OUT / "glue" / task).mkdir(parents=True, exist_ok=True)
        write(f"glue/{task}/{split}-00000-of-00001", pa.table(columns | {"label": labels, "idx": pa.array([0, 1], pa.int32())}))


def table(**more: pa.Array) -> pa.Table:
    columns = {"idx": pa.array(range(N), pa.int32()), "sentence": pa.array(TEXTS), "label": pa.array(LABELS, pa.int64())}
    return pa.table(columns | {"score": pa.array(SCORES, pa.float32())} | more)


def write(name: str, data: pa.Table, **options: object) -> None:
    pq.write_table(data, OUT / f"{name}.parquet", **options)
    print(name, (OUT / f"{name}.parquet").stat().st_size)


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
        write(codec, table(), compression=codec, row_group_size=16)
    plain = {"use_dictionary": False, "data_page_version": "2.0", "column_encoding": {"sentence": "DELTA_BYTE_ARRAY"}}
    write("v2", table(), compression="zstd", **plain)
    write("datasets", table().replace_schema_metadata(HUGGING_FACE))
    categories = pa.array([["no", "maybe", "yes"][k] for k in LABELS]).dictionary_encode()
    flags = pa.array([k == 1 for k in LABELS])
    write("names", table(answer=categories, flag=flags, double=pa.array(SCORES, pa.float64())))
    holes = pa.array([None if i == 6 else text for i, text in enumerate(TEXTS)])
    nested = pa.array([[i] for i in range(N)])
    large = pa.array([2**60 + i for i in range(N)], pa.int64())
    bad = {"holes": holes, "nested": nested, "large": large, "when": pa.array([0] * N, pa.timestamp("ms"))}
    write("bad", table(**bad))
    write("empty", table().slice(0, 0))
    glue()
    return 0


if __name__ == "__main__":
    sys.exit(main())
