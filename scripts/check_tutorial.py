"""Runs what docs/TUTORIAL.md says in Python: its exports, and the way back, with a small DistilBERT of random weights.

    npm run compile
    python scripts/check_tutorial.py

Each export goes through `curvsam check`, `patch`, `train` and `export`, and the state dict into the tutorial's last program.
Without optimum-cli its export is left out, and that is said. Fails with the first command that fails.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
NAME = "distilbert-base-uncased"
ROWS = "sentence\tlabel\na delightful film\t1\nfar too long\t0\nfresh and funny\t1\n"


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "TUTORIAL.md").read_text(encoding="utf8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def small_model(folder: Path) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 5000, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 128}
    DistilBertForSequenceClassification(DistilBertConfig(**sizes, num_labels=2)).save_pretrained(folder)
    tokenizer = ROOT / "models" / "roberta-mini" / "tokenizer.json"
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}
    PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), **names).save_pretrained(folder)


def curvsam(folder: Path, *arguments: str) -> None:
    subprocess.run(["node", str(ROOT / "build/src/cli/main.js"), *arguments], cwd=folder, check=True)


def main() -> None:
    bash = [block.strip() for block in blocks("bash")]
    script = next(line for line in bash if "export_hf.py" in line)
    optimum = next(line for line in bash if line.startswith("optimum-cli"))
    plain, back = blocks("python")
    ways = {
        "export_hf.py": [sys.executable, *script.split()[1:]],
        "torch.onnx.export": [sys.executable, "-c", plain],
        "optimum": optimum.split(),
    }
    for way, command in ways.items():
        if shutil.which(command[0]) is None:
            print(f"== {way}: {command[0]} is not installed; left out")
            continue
        print(f"== {way}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # The model's name is then that of a folder.
            small_model(folder / NAME)
            os.symlink(ROOT / "scripts", folder / "scripts")
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if not (folder / "model" / "tokenizer.json").exists():
                # optimum may come with an older transformers, which does not know the class of this tokenizer.
                shutil.copy(folder / NAME / "tokenizer.json", folder / "model")
            (folder / "train.tsv").write_text(ROWS, encoding="utf8")
            restore = ["--train-mode"] if way == "optimum" else []
            data = ["--data", "train.tsv", "--tokenizer", "model/tokenizer.json", "--text", "sentence", "--label", "label"]
            curvsam(folder, "check", "model/model.onnx")
            curvsam(folder, "patch", "model/model.onnx", "-o", "package", "--loss", "cross-entropy", *restore)
            curvsam(folder, "train", "package", *data, "--epochs", "1")
            curvsam(folder, "export", "package", "-o", "finetuned.safetensors")
            subprocess.run([sys.executable, "-c", back], cwd=folder, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
