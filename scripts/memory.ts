/**
 * Writes docs/MEMORY.md: the peak resident set of training, beside the estimate that steps are refused by, and what recomputation
 * and steps in phases save.
 *
 *     npx tsc && node build/scripts/memory.js --work FOLDER --python python3 [--large]
 *
 * Exports and packages lie in FOLDER, and points that were measured already in FOLDER/memory.jsonl: they are not measured again.
 * Each point is a process of its own. `--large` adds RoBERTa-large, which takes up to 14 GB.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { root } from "../test/support/root.js";
import { textCases } from "./bench/cases.js";
import type { Results } from "./bench/report.js";
import { exported, packaged, Points, takeSteps, type Encoder, type Optimizer, type Steps } from "./scale/points.js";
import { threads, type Taken } from "./scale/taken.js";

interface Row {
  title: string;
  model: Encoder;
  optimizer: Optimizer;
  steps: Steps;
}

const names = { none: "", sam: "SAM over ", curvsam: "CurvSAM over " } as const;
const titleOf = ({ ascent, base }: Optimizer): string => names[ascent] + { adamw: "AdamW", sgd: "SGD" }[base];
const valuesOf = (of: object): string[] => Object.values(of).map(String);
const key = ({ model, optimizer, steps }: Row): string =>
  [model.name, ...valuesOf(optimizer), ...valuesOf(steps)].join(" ");
const ascents = ["none", "sam", "curvsam"] as const;

function rowsOf(name: "encoder" | "minilm", title: string): Row[] {
  const { config, batch, sequence } = textCases[name];
  return ascents.flatMap((ascent) =>
    [false, true].map((recompute): Row => ({
      ...{ title, model: { name, config }, optimizer: { ascent, base: "adamw", recompute } },
      steps: { batch, sequence, count: 4 },
    })),
  );
}

const encoderRows = rowsOf("encoder", "6-layer encoder");
const rows = [...encoderRows, ...rowsOf("minilm", "MiniLM-L6")];

const large: Encoder = {
  name: "roberta-large",
  config: {
    ...textCases["roberta-base"].config,
    ...{ hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1 },
    ...{ hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, intermediate_size: 4096 },
  },
};
const largeRow = (optimizer: Optimizer): Row => ({
  ...{ title: "RoBERTa-large", model: large, optimizer },
  steps: { batch: 4, sequence: 128, count: 2, driver: "phases", lowered: false },
});
const largeRows = [largeRow({ ascent: "curvsam", base: "sgd" }), largeRow({ ascent: "none", base: "adamw" })];

const mb = (bytes: number): number => Math.round(bytes / 1e6);
const gb = (bytes: number): number => Number((bytes / 1e9).toFixed(2));
const estimateOf = (t: Taken): number => t.libraries + t.open + t.buffers + t.sessions + t.run;
const ratio = (a: number, b: number): number => Number((a / b).toFixed(2));

function estimates(points: Points<Taken>): TableCell[][] {
  return rows.flatMap((row) => {
    const t = points.get(key(row));
    if (!t) return [];
    return [
      [
        ...[row.title, titleOf(row.optimizer), row.optimizer.recompute ? "yes" : "no"],
        ...[t.libraries, t.open, t.buffers, t.sessions, t.run, estimateOf(t), t.peak].map(mb),
        ratio(estimateOf(t), t.peak),
      ],
    ];
  });
}

/** PyTorch's peak, eager, of docs/BENCHMARKS.json. */
function pytorchPeak(ascent: string): number | null {
  const results = JSON.parse(readFileSync(join(root, "docs", "BENCHMARKS.json"), "utf8")) as Results;
  const entry = results.encoder?.entries.find(({ side, optimizer }) => side === "eager" && optimizer === ascent);
  return entry?.peakBytes ?? null;
}

function recomputation(points: Points<Taken>): TableCell[][] {
  return encoderRows.flatMap((row) => {
    const t = points.get(key(row));
    const kept = points.get(key({ ...row, optimizer: { ...row.optimizer, recompute: false } }));
    if (!t || !kept) return [];
    const pytorch = pytorchPeak(row.optimizer.ascent);
    const share = pytorch === null ? null : ratio(t.peak, pytorch);
    const answer = share === null ? "" : share <= (row.optimizer.recompute ? 0.6 : 0.8) ? "met" : "**missed**";
    return [
      [
        ...[titleOf(row.optimizer), row.optimizer.recompute ? "yes" : "no", mb(t.peak), share],
        ...[row.optimizer.recompute ? "≤ 0.6" : "≤ 0.8", answer, Math.round(t.ms), ratio(t.ms, kept.ms)],
      ],
    ];
  });
}

const largeTable = (points: Points<Taken>): TableCell[][] =>
  largeRows.flatMap((row) => {
    const t = points.get(key(row));
    if (!t) return [];
    return [
      [
        ...[titleOf(row.optimizer), gb(t.open), gb(t.buffers), gb(t.run), gb(estimateOf(t)), gb(t.peak)],
        ...[t.peak <= 20e9 ? "met" : "**missed**", Math.round(t.ms / 1000), t.loss],
      ],
    ];
  });

const document = (points: Points<Taken>): string => `# Memory

Written by \`scripts/memory.ts\`, never by hand. Every row is a process of its own: ${threads} threads of ${cpus()[0]?.model.trim() ?? "an unknown processor"}, Node ${process.version},
weights with random values, peak resident set (VmHWM). Times are of a machine that other work shared: they say which is
slower, not by how much exactly.

## The estimate, and what steps take

Before the first step, \`train\`, \`graph\`, \`glue\` and the library estimate what it will take, and refuse it where that is more than
is free, on the machine or in the process's control group. Parameters and state are there once when a package is open; steps write
over them, once they are known to be taken. New values that are read before that have buffers of their own; with random inputs, and
what phases hand on, these are the buffers. A run takes the simulated peak of the values between its nodes, most of which the C
library keeps, and a copy of every output, which the binding of ONNX Runtime makes and the runtime frees at once. Batch 16 x 64; MB.

${markdownTable(
  [
    ...["model", "optimizer", "recompute", "libraries", "parameters and state", "buffers", "sessions", "run"],
    ...["estimate", "measured", "estimate / measured"],
  ],
  estimates(points),
)}
## Recomputation

\`patch --recompute\` computes activations anew in the passes where that lowers the peak, and steps are taken one by one. The 6-layer encoder against PyTorch's eager peak in [BENCHMARKS.md](BENCHMARKS.md); the time is that of a step
against the one without recomputation. The tangents of a Hessian-vector product are computed anew with the activations.

${markdownTable(
  ["optimizer", "recompute", "peak RSS, MB", "of PyTorch's", "target", "", "ms a step", "of the time without"],
  recomputation(points),
)}
## RoBERTa-large

355 million parameters, batch 4 x 128, dropout 0.1, two steps phase by phase (\`driver: "phases"\`): the Hessian-vector product of
CurvSAM is exact and over the whole batch, and AdamW descends by groups of parameters, so that no run gives back more than a
quarter of a gigabyte. The graphs are opened as they are, not lowered. The target is 20 GB. GB; seconds of the second step.

${markdownTable(
  ["optimizer", "parameters and state", "buffers", "run", "estimate", "peak RSS", "", "s", "loss"],
  largeTable(points),
)}`;

const { values } = parseArgs({
  options: {
    work: { type: "string", default: join(root, "build", "bench") },
    python: { type: "string", default: "python3" },
    large: { type: "boolean", default: false },
  },
});
const points = new Points<Taken>(join(values.work, "memory.jsonl"));
for (const row of [...rows, ...(values.large ? largeRows : [])]) {
  await points.measure(key(row), async () => {
    const folder = await packaged(exported(row.model, values.work, values.python), row.optimizer);
    return takeSteps(folder, row.steps);
  });
}
writeFileSync(join(root, "docs", "MEMORY.md"), document(points));
