/**
 * A real export, real mail, CurvSAM, from end to end: patches models/roberta-mini, trains it to tell spam, exports it, reloads it with
 * plain onnxruntime-node, and draws the curves.
 *
 *     npm run quickstart -- [folder for the results: out/quickstart]
 */
import { existsSync, mkdirSync, realpathSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Batch } from "../src/data/batch.js";
import type { Examples } from "../src/data/examples.js";
import { TextBatches } from "../src/data/text_batches.js";
import { Tokenizer } from "../src/data/tokenizer.js";
import { exportModel } from "../src/pack/export.js";
import { patch } from "../src/pack/patch.js";
import { drawFigure, type Axis, type Series } from "../src/report/chart.js";
import { formatNumber, markdownTable } from "../src/report/table.js";
import { PackageRuntime } from "../src/runtime/runtime.js";
import { evaluateAll, type EvaluationSummary } from "../src/train/evaluate.js";
import { fit } from "../src/train/fit.js";
import { usualMeasure } from "../src/train/measures.js";
import { argmaxRows } from "../src/train/metrics.js";
import { schedule } from "../src/train/schedules.js";
import { check, UserError } from "../src/util/assert.js";
import { writeFileAtomically } from "../src/util/files.js";
import { readMail, type Mail } from "./mail.js";

export interface QuickstartOptions {
  /** Folder for the package, the fine-tuned model, the log and the curves. */
  out: string;
  /** Messages to read; about a fifth of them is held out. */
  messages: number;
  epochs: number;
  say: (line: string) => void;
  /** Aborting it ends at the next safe point with the signal's reason; what stands in the folder then is whole. */
  signal?: AbortSignal;
}

export interface QuickstartResult {
  before: EvaluationSummary;
  after: EvaluationSummary;
  /** Held-out messages, and on how many of them plain ONNX Runtime decides as the trainer does. */
  heldOut: number;
  agreeing: number;
  /** Between the logits of the trainer and those of plain ONNX Runtime. */
  largestDifference: number;
}

const maxTokens = 96;
const batchSize = 16;
const vocabulary = 5000;
const hyper = { lr: 1e-3, rho: 0.05 };
const seed = 1;

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "models", "roberta-mini")) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}

const examplesOf = (mails: readonly Mail[]): Examples => ({
  texts: mails.map(({ text }) => text),
  pairs: null,
  labels: { kind: "class", ids: Int32Array.from(mails, ({ label }) => label), names: ["ham", "spam"] },
});

export async function quickstart(options: QuickstartOptions): Promise<QuickstartResult> {
  const { out, messages, epochs, say, signal } = options;
  const shown = (name: string): string => relative(process.cwd(), join(out, name));
  const modelFolder = join(repositoryRoot(), "models", "roberta-mini");
  mkdirSync(out, { recursive: true });

  const { train, heldOut } = await readMail(messages);
  signal?.throwIfAborted();
  const spam = train.filter(({ label }) => label === 1).length;
  say(`mail      ${train.length} messages to train on (${spam} of them spam), ${heldOut.length} held out`);

  const folder = join(out, "package");
  const report = await patch(join(modelFolder, "model.onnx"), folder, {
    loss: { kind: "cross-entropy", logits: "logits" },
    optimizer: "curvsam",
    base: "adamw",
    hyper,
    force: true,
  });
  signal?.throwIfAborted();
  const size = report.trainableElements.toLocaleString("en");
  say(`patch     ${shown("package")}: ${Object.keys(report.graphs).length} graphs, ${size} trainable numbers`);

  const tokenizer = await Tokenizer.open(join(modelFolder, "tokenizer.json"), {
    maxLength: maxTokens,
    embeddingSize: vocabulary,
  });
  const runtime = await PackageRuntime.open(folder, { seed });
  try {
    const { inputs, targets } = runtime.manifest;
    const source = new TextBatches(examplesOf(train), tokenizer, inputs, targets, { batchSize, shuffle: true, seed });
    const evaluation = {
      source: new TextBatches(examplesOf(heldOut), tokenizer, inputs, targets, { batchSize: 2 * batchSize }),
      measure: usualMeasure(runtime.manifest),
    };
    const curves = new Curves();
    const before = await evaluateAll(runtime, evaluation, signal);
    signal?.throwIfAborted();
    check(before !== null, "the evaluation before training was stopped");
    curves.addEvaluation(0, before);

    const steps = epochs * source.batchesPerEpoch;
    say(`train     CurvSAM over AdamW, ${epochs} epochs, ${steps} steps on ${availableParallelism()} threads`);
    const { evaluation: after } = await fit({
      runtime,
      train: source,
      epochs,
      evaluation,
      schedules: { lr: schedule("linear", { warmup: 0.1 }) },
      log: join(out, "log.jsonl"),
      progress: true,
      signal,
      callbacks: {
        onStep: ({ step, diagnostics }) => curves.addStep(step, diagnostics),
        onEvaluation: (summary, { step, epoch }) => {
          curves.addEvaluation(step, summary);
          const { accuracy = NaN } = summary.metrics;
          say(`epoch ${epoch}   held-out loss ${formatNumber(summary.loss)}, accuracy ${formatNumber(accuracy)}`);
        },
      },
    });
    signal?.throwIfAborted();
    check(after !== null, "training ended without an evaluation");

    const weights = join(out, "weights.safetensors");
    const model = join(out, "finetuned.onnx");
    await runtime.saveWeights(weights);
    exportModel(folder, model, { weights });
    const comparison = await compare(runtime, model, evaluation.source);
    signal?.throwIfAborted();
    say(
      `export    ${shown("finetuned.onnx")}: plain onnxruntime-node decides alike on ${comparison.agreeing} of ${heldOut.length} ` +
        `messages, its logits differ by ${formatNumber(comparison.largestDifference, 2)} at most`,
    );

    const drawing = await curves.draw(`ρ = ${hyper.rho}, curvature refreshed every 5 steps; ${train.length} messages`);
    const drawn = { "curves.svg": drawing.svg, "curves.png": drawing.png };
    for (const [name, bytes] of Object.entries(drawn)) {
      writeFileAtomically(join(out, name), bytes);
    }
    say(`curves    ${shown("curves.svg")}, ${shown("curves.png")}`);
    return { before, after, heldOut: heldOut.length, ...comparison };
  } finally {
    await runtime.close();
  }
}

/** Runs `model` in plain ONNX Runtime on every batch of one epoch beside the trainer. */
async function compare(
  runtime: PackageRuntime,
  model: string,
  source: TextBatches,
): Promise<{ agreeing: number; largestDifference: number }> {
  const session = await InferenceSession.create(model);
  let agreeing = 0;
  let largestDifference = 0;
  for (let batch = await source.next(); batch !== null; batch = await source.next()) {
    const inputs = Object.fromEntries(session.inputNames.map((name) => [name, ortTensor(batch, name)]));
    const plain = (await session.run(inputs))["logits"]?.data;
    const { logits } = await runtime.forward({ feeds: modelInputs(batch, session.inputNames) });
    check(plain instanceof Float32Array && logits?.data instanceof Float32Array, "a model has no float32 logits");
    const [ours, theirs] = [argmaxRows(logits.data, 2), argmaxRows(plain, 2)];
    ours.forEach((label, i) => (agreeing += label === theirs[i] ? 1 : 0));
    for (const [i, value] of plain.entries()) {
      largestDifference = Math.max(largestDifference, Math.abs(value - (logits.data[i] ?? NaN)));
    }
  }
  await session.release();
  return { agreeing, largestDifference };
}

const modelInputs = ({ feeds }: Batch, names: readonly string[]): Batch["feeds"] =>
  Object.fromEntries(Object.entries(feeds).filter(([name]) => names.includes(name)));

function ortTensor({ feeds }: Batch, name: string): Tensor {
  const feed = feeds[name];
  check(feed?.data instanceof BigInt64Array, `the model's input "${name}" is no int64 input of the batch`);
  return new Tensor("int64", feed.data, feed.dims);
}

/** What is drawn of a run. */
class Curves {
  readonly #series = new Map<string, [number, number][]>();

  addStep(step: number, diagnostics: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(diagnostics)) this.#add(name, step, value);
  }

  addEvaluation(step: number, { metrics }: EvaluationSummary): void {
    for (const [name, value] of Object.entries(metrics)) this.#add(name, step, value);
  }

  #add(name: string, step: number, value: number): void {
    const points = this.#series.get(name) ?? [];
    points.push([step, value]);
    this.#series.set(name, points);
  }

  draw(subtitle: string): ReturnType<typeof drawFigure> {
    const of = (key: string, name: string, smooth?: number): Series => ({
      name,
      points: this.#series.get(key) ?? [],
      ...(smooth === undefined ? {} : { smooth }),
    });
    const x: Axis = { title: "Step" };
    return drawFigure({
      title: "roberta-mini learns to tell spam, with CurvSAM",
      subtitle,
      height: 200,
      panels: [
        {
          x,
          y: { title: "Training loss", unit: "nats", zero: true },
          series: [of("loss", "at w", 0.9), of("perturbed_loss", "at w + ε", 0.9)],
        },
        { x, y: { title: "Perturbation ‖ε‖₂" }, series: [of("perturbation_norm", "‖ε‖₂", 0.9)] },
        {
          x,
          y: { title: "On held-out mail", zero: true },
          series: [of("accuracy", "accuracy"), of("f1", "F1 of spam"), of("auc", "AUC")],
        },
      ],
    });
  }
}

function resultTable({ before, after }: QuickstartResult): string {
  const row = (name: string, pick: (summary: EvaluationSummary) => number | undefined) =>
    [name, pick(before) ?? null, pick(after) ?? null] as const;
  return markdownTable(
    ["held-out mail", "before", "after"],
    [
      row("loss", ({ loss }) => loss),
      row("accuracy", ({ metrics }) => metrics["accuracy"]),
      row("F1 of spam", ({ metrics }) => metrics["f1"]),
      row("AUC", ({ metrics }) => metrics["auc"]),
    ],
  );
}

/** Exit code of Ctrl-C. */
const interrupted = 130;

class Interruption extends Error {}

async function main(): Promise<void> {
  const started = Date.now();
  const say = (line: string): void => console.log(line);
  const out = process.argv[2] ?? join("out", "quickstart");
  const interruption = new AbortController();
  process.on("SIGINT", () => {
    if (interruption.signal.aborted) process.exit(interrupted);
    interruption.abort(new Interruption());
  });
  const result = await quickstart({ out, messages: 1500, epochs: 3, say, signal: interruption.signal });
  say(`\n${resultTable(result)}`);
  say(`${Math.round((Date.now() - started) / 1000)} s in all`);
  check(
    result.agreeing === result.heldOut && result.largestDifference < 1e-4,
    `the exported model does not agree with the trainer: ${result.agreeing} of ${result.heldOut} decisions, logits differ by ${result.largestDifference}`,
  );
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    if (error instanceof Interruption) {
      console.error("interrupted");
      process.exitCode = interrupted;
      return;
    }
    console.error(error instanceof UserError ? `error: ${error.message}` : error);
    process.exitCode = 1;
  });
}
