import { readExamples, type Examples } from "../data/examples.js";
import type { LabelSpec } from "../data/labels.js";
import type { SamplerOptions } from "../data/sampler.js";
import type { TableFormat } from "../data/cells.js";
import { TextBatches } from "../data/text_batches.js";
import { Tokenizer } from "../data/tokenizer.js";
import type { Manifest } from "../format/manifest.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { check, UserError } from "../util/assert.js";
import { UsageError } from "./failure.js";
import type { DataSettings } from "./run.js";

/** The options of `train` and `eval` that say how a text file is read. */
export interface DataFlags {
  tokenizer?: string;
  text?: string;
  textPair?: string;
  label?: string[];
  labelNames?: string[];
  maxLength?: number;
  format?: TableFormat;
  /** Of --no-header: true where it is not given. */
  header: boolean;
}

const defaultMaxLength = 128;

/** The flags, and where they are silent, what a run before was told. */
export function dataSettings(manifest: Manifest, flags: DataFlags, before: Partial<DataSettings>): DataSettings {
  const tokenizer = flags.tokenizer ?? before.tokenizer;
  const text = flags.text ?? before.text;
  if (tokenizer === undefined) throw new UsageError("--tokenizer is missing; name the model's tokenizer.json");
  if (text === undefined) throw new UsageError("--text is missing; name the column of the text");
  const pair = flags.textPair ?? before.pair;
  const label = flags.label ?? before.label;
  const labelNames = flags.labelNames ?? before.labelNames;
  const header = flags.header && (before.header ?? true);
  if (label === undefined && Object.keys(manifest.targets).length > 0) {
    throw new UsageError("--label is missing; name the column of the label");
  }
  return {
    tokenizer,
    text,
    ...(pair !== undefined && { pair }),
    ...(label !== undefined && { label }),
    ...(labelNames !== undefined && { labelNames }),
    ...(!header && { header }),
    maxLength: flags.maxLength ?? before.maxLength ?? defaultMaxLength,
  };
}

/** What the package's loss makes of a label column. */
function labelSpec({ loss }: Manifest, names: readonly string[] | undefined): LabelSpec {
  if (loss.kind !== "cross-entropy") return { kind: "float" };
  const { classes, ignoreIndex } = loss;
  return {
    kind: "class",
    ...(typeof classes === "number" && { count: classes }),
    ...(typeof ignoreIndex === "number" && { ignore: ignoreIndex }),
    ...(names !== undefined && { names }),
  };
}

/** Rows of the embedding whose name matches; undefined where the model has none of a usual name. */
const rowsOf = (manifest: Manifest, name: RegExp): number | undefined =>
  Object.entries(manifest.parameters).find(([parameter]) => name.test(parameter))?.[1].shape[0];

/** How many tokens and how many positions the model knows, as far as its names tell. */
export const embeddingRows = (manifest: Manifest): { rows: number | undefined; positions: number | undefined } => ({
  rows: rowsOf(manifest, /(word_embeddings|embed_tokens|tok_embeddings|wte)\.weight$/),
  positions: rowsOf(manifest, /(position_embeddings|embed_positions|wpe)\.weight$/),
});

export function openTokenizer(manifest: Manifest, settings: DataSettings): Promise<Tokenizer> {
  const { tokenizer, maxLength } = settings;
  const { rows: embeddingSize, positions } = embeddingRows(manifest);
  check(
    positions === undefined || maxLength <= positions,
    `--max-length ${maxLength}: the model has no more than ${positions ?? 0} positions; use fewer tokens`,
  );
  return Tokenizer.open(tokenizer, { maxLength, ...(embeddingSize !== undefined && { embeddingSize }) });
}

/**
 * Refuses texts longer than the model's positions, which only the model can tell where the first rows of its table stand for padding:
 * it is run once on the longest text.
 */
export async function checkPositions(runtime: PackageRuntime, tokenizer: Tokenizer): Promise<void> {
  const { inputs } = runtime.manifest;
  const { positions } = embeddingRows(runtime.manifest);
  const { maxLength, padId } = tokenizer;
  const sure = (positions ?? Infinity) - padId - 1;
  if (maxLength === null || maxLength <= sure) return;
  const rows = Object.values(inputs)[0]?.shape[0];
  const texts = new Array<string>(typeof rows === "number" ? rows : 1).fill("a ".repeat(maxLength));
  const source = new TextBatches(
    { texts, pairs: null, labels: null },
    tokenizer,
    inputs,
    {},
    { batchSize: texts.length },
  );
  const longest = await source.next();
  if (!longest) return;
  try {
    await runtime.forward(longest);
  } catch (error) {
    if (!(error instanceof UserError) || !error.message.includes("has no row in its table")) throw error;
    throw new UserError(
      `--max-length ${maxLength}: the model's ${positions ?? 0} positions have no room for so many tokens, as the first rows stand for padding; use ${sure}`,
    );
  }
}

export const openExamples = (
  manifest: Manifest,
  file: string,
  settings: DataSettings,
  format: TableFormat | undefined,
): Promise<Examples> => {
  const { text, pair, label, labelNames, header } = settings;
  return readExamples(file, {
    text,
    ...(format !== undefined && { format }),
    ...(header !== undefined && { header }),
    ...(pair !== undefined && { pair }),
    ...(label !== undefined && { label }),
    labels: labelSpec(manifest, labelNames),
  });
};

export const batches = (
  manifest: Manifest,
  examples: Examples,
  tokenizer: Tokenizer,
  sampler: SamplerOptions,
): TextBatches => new TextBatches(examples, tokenizer, manifest.inputs, manifest.targets, sampler);

/** The names of the classes, where the label column has names. */
export const classNames = ({ labels }: Examples): readonly string[] | undefined =>
  labels?.kind === "class" ? (labels.names ?? undefined) : undefined;
