"""Tiny configurations of the encoders and decoders that people fine-tune as classifiers, with their quirks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    XLMRobertaConfig,
)

from fixture_models import SIZES, draw_weights

WIDE = {**SIZES, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 96}


def albert() -> PreTrainedConfig:
    """Layers share one set of weights; embeddings are narrower than the layers."""
    return AlbertConfig(
        vocab_size=50,
        max_position_embeddings=16,
        embedding_size=8,
        num_hidden_groups=1,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        **SIZES,
    )


def deberta_v3() -> PreTrainedConfig:
    """Disentangled attention over log buckets of relative positions, shared keys, a norm over the position table."""
    return DebertaV2Config(
        vocab_size=50,
        max_position_embeddings=16,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=4,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        layer_norm_eps=1e-7,
        pooler_dropout=0.1,
        **SIZES,
    )


def distilbert() -> PreTrainedConfig:
    """No token types, no pooler; a head with a ReLU."""
    return DistilBertConfig(vocab_size=50, max_position_embeddings=16, dim=16, n_layers=2, n_heads=2, hidden_dim=32)


def electra() -> PreTrainedConfig:
    """Embeddings are projected to the width of the layers."""
    return ElectraConfig(vocab_size=50, max_position_embeddings=16, embedding_size=8, **SIZES)


def gpt2() -> PreTrainedConfig:
    """A causal decoder with [in, out] weights; the logits are those of the last token that is not padding."""
    return GPT2Config(
        vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2, pad_token_id=0
    )


def llama() -> PreTrainedConfig:
    """Rotary positions, RMS norms, gated units, two query heads to one key head; attention is its only dropout."""
    return LlamaConfig(
        vocab_size=50,
        max_position_embeddings=16,
        num_key_value_heads=1,
        attention_dropout=0.1,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **SIZES,
    )


def minilm() -> PreTrainedConfig:
    """BERT in MiniLM's proportions: narrow heads, a feed-forward layer of four times the width."""
    return BertConfig(vocab_size=50, max_position_embeddings=16, **WIDE)


def modernbert() -> PreTrainedConfig:
    """Rotary positions, global and sliding-window attention in turn, gated GELU, no biases, a norm before each block."""
    return ModernBertConfig(
        vocab_size=50,
        max_position_embeddings=16,
        global_attn_every_n_layers=2,
        local_attention=4,
        pad_token_id=0,
        bos_token_id=1,
        cls_token_id=1,
        eos_token_id=2,
        sep_token_id=2,
        attention_dropout=0.1,
        embedding_dropout=0.1,
        mlp_dropout=0.1,
        classifier_dropout=0.1,
        **SIZES,
    )


def mpnet() -> PreTrainedConfig:
    """One table of relative position biases serves every layer; positions start after the padding id."""
    return MPNetConfig(vocab_size=50, max_position_embeddings=18, **SIZES)


def xlm_roberta() -> PreTrainedConfig:
    """Positions count the tokens that are not padding, from the padding id on."""
    return XLMRobertaConfig(
        vocab_size=50,
        max_position_embeddings=18,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **SIZES,
    )


FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "albert": albert,
    "deberta-v3": deberta_v3,
    "distilbert": distilbert,
    "electra": electra,
    "gpt2": gpt2,
    "llama": llama,
    "minilm": minilm,
    "modernbert": modernbert,
    "mpnet": mpnet,
    "xlm-roberta": xlm_roberta,
}


def make_classifier(family: str) -> torch.nn.Module:
    """A classifier of three labels."""
    config = FAMILIES[family]()
    config.num_labels = 3
    config.use_cache = False
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager", dtype=torch.float32)
    draw_weights(model, sum(map(ord, family)))
    return model
