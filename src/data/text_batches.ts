import { check } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import type { JsonValue } from "../util/json.js";
import type { Shape } from "../util/shape.js";
import type { Batch, BatchSource, Feed, InputSpec } from "./batch.js";
import type { Examples } from "./examples.js";
import { makeFeed } from "./feed.js";
import type { Labels } from "./labels.js";
import { Sampler, type SamplerOptions } from "./sampler.js";
import type { Encoded, Tokenizer } from "./tokenizer.js";

export interface TextBatchOptions extends SamplerOptions {
  /** Pad to a multiple of this many tokens (default 1: to the longest text of the batch). */
  multipleOf?: number;
  /** Pad every batch to this many tokens. */
  length?: number;
}

const roles = ["input_ids", "attention_mask", "token_type_ids"] as const;
type Role = (typeof roles)[number];

/** The number of tokens at which the inputs fix every sequence, or null where it is free: a limit for the tokenizer. */
export function fixedSequenceLength(inputs: Readonly<Record<string, InputSpec>>): number | null {
  for (const [name, { shape, source }] of Object.entries(inputs)) {
    const length = shape[1];
    if ((roles as readonly string[]).includes(source ?? name) && typeof length === "number") return length;
  }
  return null;
}

/**
 * Batches of a text data set: the model's inputs among `input_ids`, `attention_mask` and `token_type_ids`, each
 * [batch, tokens], padded to the longest text of the batch, and its targets. Texts are tokenized when they are first used.
 * Throws `UserError` where the model has other inputs, or a batch does not fit a dimension that the model fixes.
 */
export class TextBatches implements BatchSource {
  readonly #examples: Examples;
  readonly #tokenizer: Tokenizer;
  readonly #inputs: [name: string, role: Role, dtype: DType][];
  readonly #targets: [name: string, spec: InputSpec][];
  readonly #sampler: Sampler;
  readonly #encoded: (Encoded | undefined)[];
  readonly #multipleOf: number;
  readonly #length: number | null;

  /** `targets`: what the loss compares with; empty for predictions. */
  constructor(
    examples: Examples,
    tokenizer: Tokenizer,
    inputs: Readonly<Record<string, InputSpec>>,
    targets: Readonly<Record<string, InputSpec>>,
    options: TextBatchOptions,
  ) {
    this.#examples = examples;
    this.#tokenizer = tokenizer;
    this.#inputs = Object.entries(inputs).map(([name, { dtype, source }]) => [name, roleOf(name, source), dtype]);
    check(
      this.#inputs.some(([, role]) => role === "input_ids"),
      `the model has no input "input_ids" for text; its inputs are ${Object.keys(inputs).join(", ")}`,
    );
    this.#targets = Object.entries(targets);
    check(
      this.#targets.length <= 1,
      `the package has the targets ${Object.keys(targets).join(", ")}; a text data set fills one`,
    );
    for (const [name, spec] of this.#targets) checkTarget(name, spec, examples.labels);
    for (const [name, { shape }] of [...Object.entries(inputs), ...this.#targets]) {
      checkBatchDimension(name, shape[0], examples.texts.length, options);
    }
    this.#sampler = new Sampler(examples.texts.length, options, (row) => this.#encode(row).ids.length);
    this.#encoded = new Array<Encoded | undefined>(examples.texts.length);
    this.#multipleOf = options.multipleOf ?? 1;
    const fixed = fixedSequenceLength(inputs);
    this.#length = options.length ?? fixed;
    check(
      fixed === null || this.#length === fixed,
      `padding to ${this.#length ?? 0} tokens does not fit the model, which fixes its sequences at ${fixed ?? 0}`,
    );
  }

  get batchesPerEpoch(): number {
    return this.#sampler.batchesPerEpoch;
  }

  next(): Promise<Batch | null> {
    const rows = this.#sampler.next();
    return new Promise((resolve) => resolve(rows && this.#batch(rows)));
  }

  state(): JsonValue {
    return this.#sampler.state();
  }

  restore(state: JsonValue): void {
    this.#sampler.restore(state);
  }

  #batch(rows: Int32Array): Batch {
    const texts = Array.from(rows, (row) => this.#encode(row));
    const longest = texts.reduce((most, { ids }) => Math.max(most, ids.length), 1);
    const length = this.#length ?? Math.ceil(longest / this.#multipleOf) * this.#multipleOf;
    check(
      longest <= length,
      `a text of ${longest} tokens does not fit the sequence length of ${length}; use --max-length ${length}`,
    );
    const dims = [texts.length, length];
    const feeds: Record<string, Feed> = {};
    for (const [name, role, dtype] of this.#inputs) {
      feeds[name] = makeFeed(name, dtype, [...dims], (set) => {
        texts.forEach((text, i) => this.#fillRow(role, text, i * length, length, set));
      });
    }
    for (const [name, spec] of this.#targets) feeds[name] = targetFeed(name, spec, this.#examples.labels, rows);
    return { size: rows.length, feeds };
  }

  #encode(row: number): Encoded {
    return (this.#encoded[row] ??= this.#tokenizer.encode(
      this.#examples.texts[row] ?? "",
      this.#examples.pairs?.[row],
    ));
  }

  #fillRow(role: Role, text: Encoded, start: number, length: number, set: (i: number, value: number) => void): void {
    const { padId, padType, padLeft } = this.#tokenizer;
    const padding = { input_ids: padId, attention_mask: 0, token_type_ids: padType }[role];
    const first = padLeft ? length - text.ids.length : 0;
    for (let k = 0; k < length; k++) {
      const id = text.ids[k - first];
      if (id === undefined) set(start + k, padding);
      else set(start + k, role === "input_ids" ? id : role === "attention_mask" ? 1 : (text.types[k - first] ?? 0));
    }
  }
}

function roleOf(name: string, source: string | undefined): Role {
  const role = roles.find((each) => each === (source ?? name));
  check(
    role !== undefined,
    `the model has an input "${name}" that text data does not fill; it fills ${roles.join(", ")}`,
  );
  return role;
}

function checkBatchDimension(
  name: string,
  fixed: Shape[number] | undefined,
  examples: number,
  options: TextBatchOptions,
): void {
  if (typeof fixed !== "number") return;
  const { batchSize, dropLast = false } = options;
  check(
    batchSize === fixed,
    `batch size ${batchSize} does not fit input "${name}", whose first dimension is fixed at ${fixed}; use --batch-size ${fixed}`,
  );
  const rest = examples % batchSize;
  check(
    dropLast || rest === 0,
    `the last batch holds ${rest} of ${examples} examples, but input "${name}" is fixed at ${fixed}; drop the last batch (--drop-last), or export the model with a dynamic batch`,
  );
}

function checkTarget(name: string, { shape, dtype }: InputSpec, labels: Labels | null): void {
  check(labels !== null, `the loss needs "${name}", but the data has no label; name the column with --label`);
  const floats = dtype.startsWith("float");
  check(
    (labels.kind === "float") === floats,
    `the loss takes "${name}" as ${dtype}, but the labels were read as ${labels.kind === "float" ? "numbers" : "class ids"}`,
  );
  const width = labels.kind === "float" ? labels.width : 1;
  const expected = shape.length > 1 ? shape[1] : 1;
  check(
    shape.length <= 2 && (typeof expected === "string" || expected === width),
    `the loss takes "${name}" of shape [${shape.join(", ")}], but the data has ${width} label column${width === 1 ? "" : "s"}`,
  );
}

function targetFeed(name: string, { shape, dtype }: InputSpec, labels: Labels | null, rows: Int32Array): Feed {
  const width = labels?.kind === "float" ? labels.width : 1;
  const values = labels?.kind === "float" ? labels.values : (labels?.ids ?? []);
  const dims = shape.length > 1 ? [rows.length, width] : [rows.length];
  return makeFeed(name, dtype, dims, (set) => {
    rows.forEach((row, i) => {
      for (let j = 0; j < width; j++) set(i * width + j, values[row * width + j] ?? 0);
    });
  });
}
