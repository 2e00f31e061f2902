#!/usr/bin/env python3
"""Times training steps of onnxruntime-gpu against PyTorch's on the same GPU.

    python scripts/gpu/bench.py build/bench/encoder --steps 30

The folder is what `npm run bench -- --prepare` made: packages, the configuration and the batch. Median milliseconds of a
step, after as many warm-up steps as --warm-up says, in float32 without TF32 on both sides. PyTorch runs eagerly, as
scripts/bench/pytorch.py says.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTORCH = HERE.parent / "bench" / "pytorch.py"


def ours(work: Path, optimizer: str, o: argparse.Namespace) -> float:
    command = [sys.executable, str(HERE / "train_package.py"), str(work / optimizer)]
    command += ["--batches", str(work / "batch.json")]
    command += ["--provider", o.device, "--steps", str(o.steps), "--warm-up", str(o.warm_up)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["ms"]


def pytorch(work: Path, optimizer: str, o: argparse.Namespace) -> float:
    command = [sys.executable, str(PYTORCH), "--config", str(work / "case.json"), "--batch", str(work / "batch.json")]
    command += ["--optimizer", optimizer, "--mode", "eager", "--threads", "2", "--device", o.device]
    asked = "step\n" * (o.warm_up + o.steps) + "end\n"
    lines = subprocess.run(command, check=True, capture_output=True, text=True, input=asked).stdout.splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    return statistics.median([a["ms"] for a in answers if "ms" in a][o.warm_up :])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    o = parser.parse_args()
    if not (o.work / "case.json").is_file():
        parser.error(f"{o.work}: it has no case.json; npm run bench -- --prepare makes the folder")
    print("| optimizer | ours, ms | PyTorch, ms | ratio |\n| --- | ---: | ---: | ---: |")
    for optimizer in ("none", "sam", "curvsam"):
        try:
            mine, theirs = ours(o.work, optimizer, o), pytorch(o.work, optimizer, o)
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines()[-1:] or [f"exit status {error.returncode}"]
            print(f"error: {optimizer}: {Path(error.cmd[1]).name}: {said[0]}", file=sys.stderr)
            return 1
        print(f"| {optimizer} | {mine:.1f} | {theirs:.1f} | {mine / theirs:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
