/**
 * Writes docs/CHUNKS.md: what taking several steps in one run saves, on models of the benchmark, whose packages
 * `npm run bench -- --prepare --case NAME` makes.
 *
 *     node build/scripts/chunks.js [--steps 16]
 *
 * Every row is a process of its own: `node build/scripts/chunks.js --row PACKAGE:K` takes the steps, K in a run (0: each alone).
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { PackageRuntime } from "../src/runtime/runtime.js";
import { markdownTable } from "../src/report/table.js";
import { check } from "../src/util/assert.js";
import { root } from "../test/support/root.js";
import { readBatch } from "./bench/batches.js";
import { peakBytes } from "./bench/peak.js";

const work = join(root, "build", "bench");
const threads = 2;
/** Packages, and how many of their steps go in a run. */
const measured = [
  { name: "encoder/none", title: "6-layer encoder", optimizer: "AdamW", lengths: [0, 4, 8] },
  { name: "encoder/sam", title: "6-layer encoder", optimizer: "SAM over AdamW", lengths: [0, 4, 8] },
  { name: "encoder/curvsam", title: "6-layer encoder", optimizer: "CurvSAM over AdamW, F = 1", lengths: [0, 2] },
  { name: "minilm/none", title: "MiniLM-L6", optimizer: "AdamW", lengths: [0, 8] },
  { name: "vit-b16/none", title: "ViT-B/16", optimizer: "AdamW", lengths: [0, 2] },
] as const;

interface Row {
  ms: number;
  peak: number;
}

/** Median milliseconds a step over `steps` steps, after as many to warm up. */
async function measure(name: string, length: number, steps: number): Promise<Row> {
  const folder = join(work, name);
  const runtime = await PackageRuntime.open(folder, { threads, lowered: join(folder, "lowered") });
  const batch = readBatch(join(dirname(folder), "batch.json"));
  const many = Array.from({ length: Math.max(1, length) }, () => batch);
  if (length > 0) await runtime.roomForSteps(batch);
  const take = async (): Promise<number> => {
    const start = performance.now();
    if (length > 0) check((await runtime.steps(many, [])).failed === null, `${name}: a step is not finite`);
    else await runtime.step(batch);
    return (performance.now() - start) / many.length;
  };
  const times: number[] = [];
  for (let taken = 0; taken < 2 * steps; taken += many.length) {
    const ms = await take();
    if (taken >= steps) times.push(ms);
  }
  await runtime.close();
  times.sort((a, b) => a - b);
  return { ms: times[times.length >> 1] ?? NaN, peak: peakBytes() };
}

function table(steps: number): string {
  const rows = measured.flatMap(({ name, title, optimizer, lengths }) => {
    const taken = lengths.map((length): Row => {
      const args = [
        join(root, "build", "scripts", "chunks.js"),
        ...["--row", `${name}:${length}`, "--steps", String(steps)],
      ];
      return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Row;
    });
    return taken.map(({ ms, peak }, i) => [
      ...[title, optimizer, lengths[i] === 0 ? "each alone" : Number(lengths[i])],
      ...[Math.round(ms), Number((ms / (taken[0]?.ms ?? NaN)).toFixed(2)), Math.round(peak / 1e6)],
    ]);
  });
  return markdownTable(["model", "optimizer", "steps in a run", "ms a step", "of alone", "peak RSS, MB"], rows);
}

const { values } = parseArgs({ options: { row: { type: "string" }, steps: { type: "string", default: "16" } } });
const steps = Number(values.steps);
if (values.row === undefined) {
  const lines = [
    "# Several steps in one run",
    "",
    "Made by `scripts/chunks.ts`, never by hand. `curvsam train --chunk` takes several steps in one run of ONNX Runtime: weights and",
    "optimizer state go from step to step in a `Loop`, where the binding of ONNX Runtime copies all of them after every run. The steps",
    "are the same, bit for bit. A step by itself writes over parameters and state, and takes least memory; a `Loop` has them three times.",
    "",
    "`auto`, the default, makes runs on the CPU, as long as they take a few seconds, leave half of the free memory, and stack no more",
    "inputs (batches, probes, masks) than 32 MB or an eighth of what a single step takes. It takes steps one by one where two",
    "would be too many, and where parameters and state are more than half a gigabyte.",
    "`--chunk off` takes all of them one by one: least memory. On CUDA, where a step by itself carries parameters and state to the",
    "device and back, every run that fits is made; that has not been run on hardware.",
    "",
    `Models of [BENCHMARKS.md](BENCHMARKS.md), ${threads} threads, medians over ${steps} steps;`,
    `${cpus()[0]?.model.trim() ?? ""}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`,
    "",
    table(steps).trimEnd(),
  ];
  writeFileSync(join(root, "docs", "CHUNKS.md"), `${lines.join("\n")}\n`);
} else {
  const [name = "", length = ""] = values.row.split(":");
  console.log(JSON.stringify(await measure(name, Number(length), steps)));
}
