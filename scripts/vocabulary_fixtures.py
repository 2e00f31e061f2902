#!/usr/bin/env python3
"""Write test/fixtures/tokenizers/vocabulary.golden.json: what transformers makes of texts from vocab.json + merges.txt or vocab.txt.

    python scripts/vocabulary_fixtures.py   (pip install "transformers==4.57.1": the last line with slow tokenizers beside fast ones)

The small vocabularies are those of test/fixtures/tokenizers; the large ones are read from ../shared/data/tokenizer. Every
case is encoded by the fast and by the slow tokenizer; `slow` says that they agree, and where they do not, the ids are the
fast one's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from transformers import (
    BertTokenizer,
    BertTokenizerFast,
    GPT2Tokenizer,
    GPT2TokenizerFast,
    RobertaTokenizer,
    RobertaTokenizerFast,
)

import tokenizer_texts

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "test" / "fixtures" / "tokenizers"
SHARED = ROOT.parent / "shared" / "data" / "tokenizer"


def small_files(folder: Path) -> dict[str, Path]:
    """The small tokenizers as the files from before tokenizer.json."""
    bpe = json.loads((OUT / "bpe" / "tokenizer.json").read_text(encoding="utf8"))["model"]
    words = json.loads((OUT / "wordpiece" / "tokenizer.json").read_text(encoding="utf8"))["model"]["vocab"]
    files = {name: folder / name for name in ("vocab.json", "merges.txt", "vocab.txt")}
    files["vocab.json"].write_text(json.dumps(bpe["vocab"]), encoding="utf8")
    merges = [m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]]
    files["merges.txt"].write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf8")
    files["vocab.txt"].write_text("\n".join([*sorted(words, key=words.get), ""]), encoding="utf8")
    return files


def cases(fast, slow) -> list[dict[str, object]]:
    result = []
    texts = [(a, None) for a in tokenizer_texts.SINGLES] + [(a, b) for a, b in tokenizer_texts.PAIRS]
    for text, pair in texts:
        options = {"return_token_type_ids": True, "verbose": False}
        # In a list, as the call with two texts takes an empty second one for none.
        batch = [text] if pair is None else [(text, pair)]
        one, other = ({k: v[0] for k, v in each(batch, **options).items()} for each in (fast, slow))
        entry: dict[str, object] = {"text": text} | ({} if pair is None else {"pair": pair})
        entry |= {"ids": one["input_ids"], "types": one["token_type_ids"], "slow": one["input_ids"] == other["input_ids"]}
        result.append(entry)
    return result


def main() -> int:
    golden = {}
    with tempfile.TemporaryDirectory() as folder:
        small = small_files(Path(folder))
        bpe, words = [str(small["vocab.json"]), str(small["merges.txt"])], [str(small["vocab.txt"])]
        merges = str(SHARED / "roberta-merges.txt")
        setups = {
            "roberta-small": (RobertaTokenizerFast, RobertaTokenizer, bpe, {}),
            "roberta-small-prefixed": (RobertaTokenizerFast, RobertaTokenizer, bpe, {"add_prefix_space": True}),
            "bert-small": (BertTokenizerFast, BertTokenizer, words, {}),
            "bert-small-cased": (BertTokenizerFast, BertTokenizer, words, {"do_lower_case": False}),
            "gpt2": (GPT2TokenizerFast, GPT2Tokenizer, [str(SHARED / "gpt2-encoder.json"), merges], {}),
            "roberta-base": (RobertaTokenizerFast, RobertaTokenizer, [str(SHARED / "roberta-vocab.json"), merges], {}),
            "bert-base-uncased": (BertTokenizerFast, BertTokenizer, [str(SHARED / "bert-base-uncased-vocab.txt")], {}),
        }
        for name, (fast, slow, files, config) in setups.items():
            found = cases(fast(*files, **config), slow(*files, **config))
            golden[name] = {"config": config, "cases": found}
            differ = [case["text"] for case in found if not case["slow"]]
            print(f"{name}: {len(found)} cases; slow and fast differ on {len(differ)}: {differ}")
    text = json.dumps(golden, ensure_ascii=True, separators=(",", ":"))
    (OUT / "vocabulary.golden.json").write_text(text + "\n", encoding="utf8")
    print((OUT / "vocabulary.golden.json").stat().st_size, "bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
