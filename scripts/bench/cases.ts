/** What is measured: a configuration of an encoder with random weights, and the batch that it is trained on. */
export interface Case {
  title: string;
  /** The `config.json` that scripts/export_hf.py exports and PyTorch builds; without dropout, so that both do the same. */
  config: Readonly<Record<string, string | number>>;
  batch: number;
  sequence: number;
  /** Whether the memory of one machine holds all contenders at once; if not, those of one optimizer run before those of the next. */
  together: boolean;
}

const bert = { model_type: "bert", hidden_dropout_prob: 0, attention_probs_dropout_prob: 0, num_labels: 2 };

export const cases = {
  encoder: {
    title: "6-layer encoder: hidden 384, 12 heads, FFN 1536",
    config: {
      ...bert,
      vocab_size: 4096,
      hidden_size: 384,
      num_hidden_layers: 6,
      num_attention_heads: 12,
      intermediate_size: 1536,
      max_position_embeddings: 128,
    },
    batch: 16,
    sequence: 64,
    together: true,
  },
  minilm: {
    title: "MiniLM-L6 (vocabulary 30,522)",
    config: {
      ...bert,
      hidden_size: 384,
      num_hidden_layers: 6,
      num_attention_heads: 12,
      intermediate_size: 1536,
    },
    batch: 16,
    sequence: 64,
    together: true,
  },
  "roberta-base": {
    title: "RoBERTa-base",
    config: {
      ...bert,
      model_type: "roberta",
      vocab_size: 50265,
      max_position_embeddings: 514,
      type_vocab_size: 1,
      layer_norm_eps: 1e-5,
      pad_token_id: 1,
    },
    batch: 8,
    sequence: 128,
    together: false,
  },
} satisfies Record<string, Case>;

export type CaseName = keyof typeof cases;

/** Tokens that the model knows; BERT's, where the configuration leaves it to the default. */
export const vocabularyOf = ({ config }: Case): number => Number(config["vocab_size"] ?? 30522);

/** Our steps in one run of the runtime, as `curvsam train` takes them. */
export const chunk = 8;
