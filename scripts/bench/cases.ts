/** What is measured: a network with random weights, and the batch that it is trained on. */
interface Common {
  title: string;
  batch: number;
  /** Whether the memory of one machine holds all contenders at once; if not, those of one optimizer run before those of the next. */
  together: boolean;
  /** The most of our steps that go in one run of the runtime; as many as `curvsam train` takes, otherwise. */
  chunk: number;
  /** Bounds of a step's time against PyTorch's, eager and compiled; null where compiled ones do not take part. */
  bounds: { eager: number; compiled: number | null };
}

export interface TextCase extends Common {
  /** The `config.json` that scripts/export_hf.py exports and PyTorch builds; without dropout, so that both do the same. */
  config: Readonly<Record<string, string | number>>;
  sequence: number;
}

export interface ImageCase extends Common {
  /** Flags of scripts/export_vision.py, which makes the export; PyTorch builds the same network of them. */
  flags: readonly string[];
  /** Height and width of the images. */
  size: number;
  classes: number;
}

const bert = { model_type: "bert", hidden_dropout_prob: 0, attention_probs_dropout_prob: 0, num_labels: 2 };

export const textCases = {
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
    chunk: 8,
    bounds: { eager: 0.6, compiled: 0.8 },
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
    chunk: 8,
    bounds: { eager: 0.7, compiled: 0.9 },
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
    chunk: 2,
    bounds: { eager: 0.7, compiled: 0.9 },
  },
} satisfies Record<string, TextCase>;

const imageCases = {
  "resnet-18": {
    title: "ResNet-18 (CIFAR head)",
    flags: ["--network", "resnet"],
    size: 32,
    classes: 10,
    batch: 32,
    together: true,
    chunk: 4,
    // A compiled Hessian-vector product would have to renew the statistics of batch norms from within.
    bounds: { eager: 1, compiled: null },
  },
  "vit-b16": {
    title: "ViT-B/16",
    flags: [
      "--network",
      "vit",
      "--size",
      "224",
      "--patch",
      "16",
      "--width",
      "768",
      "--layers",
      "12",
      "--classes",
      "1000",
    ],
    size: 224,
    classes: 1000,
    batch: 4,
    together: false,
    chunk: 2,
    bounds: { eager: 0.7, compiled: 0.9 },
  },
} satisfies Record<string, ImageCase>;

export const cases = { ...textCases, ...imageCases };

export type CaseName = keyof typeof cases;

/** Tokens that the model knows; BERT's, where the configuration leaves it to the default. */
export const vocabularyOf = ({ config }: TextCase): number => Number(config["vocab_size"] ?? 30522);
