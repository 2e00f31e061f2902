/**
 * What `patch --store-activations float16` gains and costs on the 6-layer encoder of the benchmark, as docs/STORE_ACTIVATIONS.md: the
 * simulated peak of a step, the largest resident set of a process that takes steps, and the error of the gradients.
 *
 *     node build/scripts/store_activations.js [--work build/bench/encoder] [--steps 4] [--threads 2]
 *
 * `npm run bench -- --prepare` makes the folder. Each contender takes its steps in a process of its own.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readManifest } from "../src/format/manifest.js";
import { patch } from "../src/pack/patch.js";
import { formatNumber, markdownTable } from "../src/report/table.js";
import { packageCosts } from "../src/runtime/costs.js";
import { Engine } from "../src/runtime/engine.js";
import { must } from "../src/util/assert.js";
import { root } from "../test/support/root.js";
import { readBatch } from "./bench/batches.js";
import { peakBytes } from "./bench/peak.js";

const { values } = parseArgs({
  options: {
    work: { type: "string", default: join(root, "build", "bench", "encoder") },
    steps: { type: "string", default: "4" },
    threads: { type: "string", default: "2" },
    package: { type: "string" },
  },
});

interface Run {
  peak: number;
  /** Every 97th element of what the first step changed of the weights. */
  update: number[];
}

/** Takes the steps of the package in `folder`, and prints what came of it. */
async function run(folder: string): Promise<void> {
  const engine = await Engine.open(folder, { threads: Number(values.threads), lowered: join(folder, "lowered") });
  const batch = readBatch(join(values.work, "batch.json"));
  const sample = (): number[] =>
    Object.values(engine.read(Object.keys(engine.manifest.parameters))).flatMap(({ data }) =>
      Array.from({ length: Math.ceil(data.length / 97) }, (_, i) => Number(data[i * 97])),
    );
  const before = sample();
  await engine.step([batch]);
  const update = sample().map((x, i) => x - (before[i] ?? NaN));
  for (let t = 1; t < Number(values.steps); t++) await engine.step([batch]);
  process.stdout.write(JSON.stringify({ peak: peakBytes(), update } satisfies Run));
  await engine.close();
}

const contenders = {
  float32: {},
  "--store-activations float16": { storeActivations: "float16" },
  "--recompute": { recompute: true },
} as const;

const megabytes = (bytes: number): number => Math.round(bytes / 1e6);

function distance(got: readonly number[], expected: readonly number[]): number {
  const norm = (list: readonly number[]): number => Math.sqrt(list.reduce((sum, x) => sum + x * x, 0));
  return norm(expected.map((x, i) => x - (got[i] ?? NaN))) / norm(expected);
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "store-"));
  const rows: (string | number)[][] = [];
  let reference: Run | null = null;
  try {
    for (const [name, options] of Object.entries(contenders)) {
      const path = join(folder, name);
      await patch(join(values.work, "model.onnx"), path, {
        ...{ loss: { kind: "cross-entropy" }, optimizer: "none", hyper: { lr: 1 } },
        ...options,
      });
      const { step } = packageCosts(path, readManifest(path), { batch: 16, sequence: 64 }).graphs;
      const taken = child(path);
      reference ??= taken;
      const error = distance(taken.update, reference.update);
      rows.push([name, megabytes(must(step, "the step").peak), megabytes(taken.peak), formatNumber(error)]);
      rmSync(path, { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const header = ["", "simulated peak of a step, MB", "peak RSS, MB", "error of the update"];
  const about = `The 6-layer encoder of the benchmark (12.2 million parameters, batch 16 x 64), SGD, ${values.threads} threads, ${values.steps} steps in a process of its own.`;
  writeFileSync(join(root, "docs", "STORE_ACTIVATIONS.md"), page(about, markdownTable(header, rows)));
}

function child(path: string): Run {
  const { work, threads, steps } = values;
  const args = ["--package", path, "--work", work, "--steps", steps, "--threads", threads];
  const { stdout, stderr, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Run;
}

const page = (about: string, table: string): string => `# Activations in float16

\`curvsam patch --store-activations float16\`: what a forward pass makes for its backward pass waits in float16. The forward pass reads what it
read before, so that the loss is the same, bit for bit; gradients are those of rounded activations. It is done where graphs are lowered for the CPU provider
(\`curvsam train\` on the CPU), in those graphs whose simulated peak it lowers; others stay as they are. It costs two casts of each activation.
An activation beyond ±65,504 becomes infinite, and its step is skipped. It is not the default: \`--recompute\` changes no bit, and is tried together with
it where both are asked for.

Written by \`scripts/store_activations.ts\`. ${about} Update: ‖Δ − Δ′‖/‖Δ‖ of the weights after one step, against float32.

${table}
`;

if (values.package === undefined) await main();
else await run(values.package);
